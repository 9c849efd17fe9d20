"""A fault that shows by its value alone, in the first rows of a large table, is known before the rest is read."""

import json
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from worker.ingest import first_rows
from worker.ingest.readers import json_lines, parquet, tables

ROWS = [[str(n), str(-n), "cat" if n % 2 else "dog"] for n in range(200)]
LAST = ["1", "oops", "cat"]


def csv(rows: list[list[str]]) -> bytes:
    return "".join(",".join(row) + "\n" for row in [["a", "b", "label"], *rows]).encode()


def as_json_lines(rows: list[list[str]]) -> bytes:
    def read(cell: str) -> Any:
        return None if not cell else int(cell) if cell.lstrip("-").isdigit() else cell

    return "".join(json.dumps({"a": read(a), "b": read(b), "label": label}) + "\n" for a, b, label in rows).encode()


def column_wise(rows: list[list[str]], kind: str) -> bytes:
    """In batches of 50 rows; the last row's word is an infinity, as a column has one type."""
    columns = list(zip(*rows, strict=True))
    numbers = [[float(cell.replace("oops", "inf")) if cell else None for cell in column] for column in columns[:2]]
    table, held = pa.table({"a": numbers[0], "b": numbers[1], "label": columns[2]}), BytesIO()
    if kind == "parquet":
        pyarrow.parquet.write_table(table, held, row_group_size=50)
    else:
        with pa.ipc.new_file(held, table.schema) as writer:
            writer.write_table(table, 50)
    return held.getvalue()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_rows, "LARGE", 1000)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 400)
    monkeypatch.setattr(tables, "COLUMN_BYTES", 1)
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 400)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 50)


@pytest.mark.parametrize(("name", "write"), [("a.csv", csv), ("a.jsonl", as_json_lines)])
def test_an_empty_cell_is_told_at_once(ingest: Any, name: str, write: Any) -> None:
    early = [*ROWS[:2], ["5", "", "cat"], *ROWS[2:], LAST]
    made = ingest({name: write(early)})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("non_finite", 3, "b")]
    late = [*ROWS, ["5", "", "cat"], LAST]
    assert ingest({name: write(late)}).codes == ["not_a_number"]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_an_empty_cell_of_a_table_by_columns_is_told_at_once(ingest: Any, kind: str) -> None:
    early = ingest({"a": column_wise([*ROWS[:2], ["5", "", "cat"], *ROWS[2:], LAST], kind)})
    assert [(fault.code, fault.row, fault.column) for fault in early.faults] == [("non_finite", 3, "b")]
    late = ingest({"a": column_wise([*ROWS, ["5", "", "cat"], LAST], kind)})
    assert [(fault.code, fault.row, fault.column) for fault in late.faults] == [
        ("non_finite", 201, "b"),
        ("non_finite", 202, "b"),
    ]
    assert ingest({"a": column_wise(ROWS, kind)}).profile["rows"] == 200


@pytest.mark.parametrize(("name", "write"), [("a.csv", csv), ("a.jsonl", as_json_lines)])
def test_rows_that_are_left_out_are_counted_once(ingest: Any, name: str, write: Any) -> None:
    made = ingest({name: write([["5", "", "cat"], *ROWS])}, cleaning={"non_finite": "drop"})
    assert (made.profile["rows"], made.profile["cleaning"]["dropped"]) == (200, {"non_finite": 1})
    assert ingest({name: write(ROWS)}).profile["rows"] == 200


def test_what_is_no_number_is_left_to_the_reader(ingest: Any) -> None:
    made = ingest({"a.csv": csv([["1", "x", "cat"], *ROWS, LAST])})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_a_number", 1), ("not_a_number", 202)]
