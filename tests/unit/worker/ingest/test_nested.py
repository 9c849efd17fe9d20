"""JSON whose arrays and objects lie within each other: read to a bound, and beyond it a fault of its line."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.picture_archives import picture, to_zip
from worker.ingest.readers.heads import MOST_AXES

TOO_DEEP = (100, 1000, 100_000)
"""Levels below that of the row."""
WAYS = [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")]


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    levels = opening.count("[") + opening.count("{")
    return opening * (depth // levels) + "1" + closing * (depth // levels)


@pytest.mark.parametrize("rest", ["1", "NaN"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depth", TOO_DEEP)
def test_a_line_that_is_nested_too_deeply_is_a_fault_of_that_line(
    ingest: Any, depth: int, way: tuple[str, str], rest: str
) -> None:
    lines = ['{"a": 1, "b": 2.5}'] * 3
    made = ingest({"x.jsonl": "\n".join([*lines, f'{{"a": {rest}, "b": {nested(depth, *way)}}}', *lines, ""]).encode()})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_json", 4)]
    assert "row 4 is no JSON object: arrays and objects are nested more than 100 deep: '{" in made.faults[0].message


@pytest.mark.parametrize("way", WAYS)
def test_what_is_nested_less_deeply_is_judged_as_a_value(ingest: Any, way: tuple[str, str]) -> None:
    made = ingest({"x.jsonl": ('{"a": 1, "b": 2.5}\n' * 3 + f'{{"a": 1, "b": {nested(50, *way)}}}\n').encode()})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("not_a_number", 4, "b")]


def parquet(depth: int, rows: int = 5) -> bytes:
    kind: pa.DataType = pa.float64()
    value: Any = 1.0
    for _ in range(depth):
        kind, value = pa.list_(kind), [value]
    sink = io.BytesIO()
    pq.write_table(pa.table({"b": pa.array([value] * rows, kind)}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(("name", "axes"), [("x.jsonl", (MOST_AXES + 1, 70, 98)), ("x.parquet", (MOST_AXES + 1, 45))])
def test_an_array_may_have_so_many_axes(ingest: Any, name: str, axes: tuple[int, ...]) -> None:
    def made(axes: int) -> Any:
        content = (f'{{"b": {nested(axes)}}}\n' * 5).encode() if name == "x.jsonl" else parquet(axes)
        return ingest({name: content})

    assert made(MOST_AXES).faults == []
    for more in axes:
        assert made(more).codes == ["no_input"]


@pytest.mark.parametrize("depth", TOO_DEEP)
def test_a_list_of_rows_names_the_place(ingest: Any, depth: int) -> None:
    made = ingest({"x.json": f'[{{"a": 1}}, {{"a": {nested(depth)}}}]'.encode()})
    assert made.codes == ["not_json"]
    assert "nested more than 100 deep at character 11" in made.faults[0].message


@pytest.mark.parametrize("depth", TOO_DEEP)
def test_metadata_of_pictures_names_its_row(ingest: Any, depth: int) -> None:
    rows = [json.dumps({"file_name": f"{number}.png", "label": "ab"[number % 2]}) for number in range(6)]
    rows[2] = f'{{"file_name": "2.png", "label": {nested(depth)}}}'
    pictures = {f"{number}.png": picture(number) for number in range(6)}
    made = ingest({"x.zip": to_zip({**pictures, "metadata.jsonl": "\n".join(rows).encode()})})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_json", 3)]
    boxes = f'{{"images": [{{"id": {nested(depth)}, "file_name": "0.png"}}], "annotations": [], "categories": []}}'
    made = ingest({"x.zip": to_zip({**pictures, "annotations.json": boxes.encode()})})
    assert made.codes == ["not_coco"]
    assert "nested more than 100 deep at character" in made.faults[0].message
