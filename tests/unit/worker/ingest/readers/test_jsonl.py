"""JSON lines: keys as columns, and every fault with its row, its key and its value."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from worker.ingest.readers import frames, json_lines, jsonl

ROWS: list[dict[str, Any]] = [{"a": n, "b": n / 2, "kind": "odd" if n % 2 else "even"} for n in range(20)]


def lines(rows: list[Any]) -> dict[str, bytes]:
    return {"data.jsonl": "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode() + b"\n"}


def test_keys_are_columns(ingest: Any) -> None:
    made = ingest(lines(ROWS))
    np.testing.assert_array_equal(made.read("input"), [[n, n / 2] for n in range(20)])
    assert made.read("target").tolist() == [row["kind"] for row in ROWS]


def test_lists_are_arrays(ingest: Any) -> None:
    rows = [{"pixels": [[n, 1, 2], [3, 4, 5]], "label": n % 2} for n in range(10)]
    made = ingest(lines(rows))
    assert (made.profile["modality"], made.profile["input"]["shape"]) == ("image", [2, 3, 1])
    np.testing.assert_array_equal(made.read("input")[..., 0], [row["pixels"] for row in rows])
    assert made.read("target").tolist() == [str(n % 2) for n in range(10)]


def test_columns_as_asked(ingest: Any) -> None:
    rows = [{"a": n, "v": [n, -n], "b": 2 * n, "c": 3 * n, "label": 1.0, "note": True} for n in range(10)]
    made = ingest(lines(rows), columns={"features": ["c", "v", "a", "b"], "label": "note"})
    np.testing.assert_array_equal(made.read("input"), [[3 * n, n, -n, n, 2 * n] for n in range(10)])
    assert made.read("target").tolist() == ["True"] * 10
    assert [column["name"] for column in made.profile["columns"][:4]] == ["c", "v", "a", "b"]


def test_a_mark_blank_lines_and_line_ends(ingest: Any) -> None:
    made = ingest({"x": b"\xef\xbb\xbf\r\n" + b"\r\n\r\n".join(json.dumps(row).encode() for row in ROWS)})
    assert made.profile["rows"] == 20


def test_withheld_labels_keep_their_rows(ingest: Any) -> None:
    labels: list[dict[str, Any]] = [{"label": "cat"}, {}, {"label": None}, {"label": 7.0}, {"label": "7"}]
    made = ingest(lines([{"a": 1, **label} for label in labels]))
    assert made.read("target").tolist() == ["cat", None, None, "7", "7"]


def test_a_missing_key_is_an_empty_cell(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 64)
    rows = [dict(row) for row in ROWS]
    del rows[4]["b"]
    rows[9]["b"] = None
    rows[11]["a"] = float("nan")
    made = ingest(lines(rows))
    found = [(fault.code, fault.row, fault.column) for fault in made.faults]
    assert found == [("non_finite", 5, "b"), ("non_finite", 10, "b"), ("non_finite", 12, "a")]
    assert ingest(lines(rows), cleaning={"non_finite": "drop"}).profile["rows"] == 17


def test_faults_have_their_row_and_key(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 256)
    monkeypatch.setattr(jsonl, "SAMPLE_ROWS", 3)
    rows: list[Any] = [dict(row) for row in ROWS]
    rows[3] = '{"a": 1, "b"'
    rows[5] = [1, 2]
    rows[8]["b"] = "tall"
    rows[10]["extra"] = 1
    rows[12]["kind"] = ["odd"]
    rows[15]["a"] = 10**400
    made = ingest(lines(rows), columns={"label": "kind"})
    assert sorted((fault.row, fault.code, fault.column) for fault in made.faults) == [
        (4, "not_json", None),
        (6, "not_json", None),
        (9, "not_a_number", "b"),
        (11, "ragged_row", "extra"),
        (13, "unsupported_type", "kind"),
    ]
    assert "'tall' is not a number" in next(fault.message for fault in made.faults if fault.row == 9)
    assert (
        "row 4 is no JSON object: Expecting ':' delimiter at character 12, near '{\"a\": 1, \"b\"'"
        in made.faults[0].message
    )
    assert all(fault.file == "data.jsonl" for fault in made.faults)


def test_lists_of_other_lengths_and_contents(ingest: Any) -> None:
    rows: list[Any] = [{"v": [[1, 2], [3, 4]]} for _ in range(8)]
    rows[2]["v"] = [[1, 2], [3]]
    rows[4]["v"] = [[1, 2]]
    rows[6]["v"] = [1, 2]
    made = ingest(lines(rows))
    found = sorted((fault.row, fault.code, fault.column) for fault in made.faults)
    assert found == [(3, "ragged_row", "v"), (5, "ragged_row", "v"), (7, "not_a_number", "v")]


def test_whole_numbers_beyond_a_float_are_no_fault_of_type(ingest: Any) -> None:
    made = ingest(lines([{"a": 2**60}, {"a": 1}, {"a": True}]))
    assert made.read("input")[:, 0].tolist() == [2.0**60, 1, 1]
    assert ingest(lines([{"a": -(10**400)}, {"a": 1}])).codes == ["non_finite"]


def test_a_last_line_cut_short(ingest: Any) -> None:
    made = ingest({"x": lines(ROWS)["data.jsonl"][:-20]})
    assert [(fault.code, fault.row) for fault in made.faults] == [("truncated", 20)]


@pytest.mark.parametrize(
    "write",
    [json.dumps, lambda rows: json.dumps(rows, indent=2), lambda rows: json.dumps({"data": rows, "version": 1}),
     lambda rows: json.dumps({"rows": rows}, indent=1), lambda rows: json.dumps({"version": 2, "of": {}, "data": rows}),
     lambda rows: json.dumps({"version": 2, "sizes": [20], "data": rows, "end": None}, indent=2),
     lambda rows: "\n".join(json.dumps(row, indent=2) for row in rows),
     lambda rows: "\n\n".join(json.dumps({"kind": row["kind"], **row}, indent="\t") for row in rows)],
)  # fmt: skip
def test_one_list_of_all_rows(ingest: Any, write: Callable[[Any], str]) -> None:
    made = ingest({"x": b"\xef\xbb\xbf" + write(ROWS).encode()})
    known = ingest(lines(ROWS))
    np.testing.assert_array_equal(made.read("input"), known.read("input"))
    assert made.read("target").tolist() == known.read("target").tolist()


def test_lists_of_lists_and_of_texts(ingest: Any) -> None:
    made = ingest({"x": json.dumps([[n, n + 0.5] for n in range(20)]).encode()})
    np.testing.assert_array_equal(made.read("input"), [[n, n + 0.5] for n in range(20)])
    assert ingest({"x": json.dumps([f"this is text {n}" for n in range(20)]).encode()}).profile["modality"] == "text"


def test_a_fault_in_a_list_has_its_row(ingest: Any) -> None:
    rows: list[Any] = [*ROWS[:4], {**ROWS[4], "a": "x"}, *ROWS[5:]]
    made = ingest({"x": json.dumps(rows).encode()})
    assert [(fault.row, fault.code) for fault in made.faults] == [(5, "not_a_number")]
    cut = json.dumps(ROWS).encode()[:-20]
    assert [(fault.row, fault.code) for fault in ingest({"x": cut}).faults] == [(None, "not_json")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps({"images": ROWS, "marks": ROWS[:5]}, indent=2), "several lists, 'images' (20), 'marks' (5); keep"),
        (",\n".join(json.dumps(row, indent=2) for row in ROWS), "',' stands at character 42, where '{' is expected"),
        ("\n".join(json.dumps(row, indent=2) for row in ROWS)[:-20], "at character"),
        (
            json.dumps({"version": 2, "data": ROWS}, indent=2).replace('"b": 0.5,', '"b" 0.5,'),
            "Expecting ':' delimiter",
        ),
    ],
)
def test_one_fault_of_objects_over_several_lines(ingest: Any, content: str, said: str) -> None:
    made = ingest({"x.json": content.encode()})
    assert [(fault.row, fault.code) for fault in made.faults] == [(None, "not_json")]
    assert said in made.faults[0].message


def test_a_short_list_beside_the_rows_is_passed_over(ingest: Any) -> None:
    content = {"facets": [{"name": "a"}, {"name": "b"}], "data": ROWS, "links": [{"rel": "self"}]}
    made, alone = ingest({"x.json": json.dumps(content).encode()}), ingest(lines(ROWS))
    np.testing.assert_array_equal(made.read("input"), alone.read("input"))
    assert made.profile["inferred"]["rows"] == "x.json: the list 'data' of 20; passed over: 'facets', far shorter"


def test_lists_within_objects_over_several_lines(ingest: Any) -> None:
    rows = [{"values": [n, n + 0.5], "label": n % 2} for n in range(20)]
    made = ingest({"x.json": "\n".join(json.dumps(row, indent=2) for row in rows).encode()})
    np.testing.assert_array_equal(made.read("input"), [[n, n + 0.5] for n in range(20)])


def test_lines_of_objects_that_begin_with_lists_stay_lines(ingest: Any) -> None:
    rows = [{"values": [{"a": 1}, {"a": 2}], "text": f"this is text {n}"} for n in range(20)]
    assert ingest(lines(rows)).profile["rows"] == 20


BY_COLUMNS = {name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ROWS[0]}
PANDAS = {
    "by columns": BY_COLUMNS,
    "by rows": {str(7 * n): row for n, row in enumerate(ROWS)},
    "split": {"columns": list(ROWS[0]), "index": [*range(20)], "data": [list(row.values()) for row in ROWS]},
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("frame", PANDAS)
def test_tables_in_an_object_as_pandas_writes_them(ingest: Any, frame: str, indent: int | None) -> None:
    made, known = ingest({"x.json": json.dumps(PANDAS[frame], indent=indent).encode()}), ingest(lines(ROWS))
    np.testing.assert_array_equal(made.read("input"), known.read("input"))
    assert made.read("target").tolist() == known.read("target").tolist()
    assert f"a table in an object, {frame}, as pandas' to_json" in made.profile["inferred"]["rows"]


def test_a_table_with_its_schema_as_pandas_writes_it(ingest: Any) -> None:
    schema = {"fields": [{"name": "index", "type": "integer"}], "primaryKey": ["index"], "pandas_version": "1.4.0"}
    content = {"schema": schema, "data": [{"index": n, **row} for n, row in enumerate(ROWS)]}
    np.testing.assert_array_equal(
        ingest({"x": json.dumps(content).encode()}).read("input"), ingest(lines(ROWS)).read("input")
    )


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ({"a": [1, 2], "b": ["x", "y"]}, "not_rows", "one object of columns, 'a', 'b'"),
        ({"0": {"0": 1, "1": 2}, "1": {"0": 3, "1": 4}}, "not_rows", "keys '0', '1': which of both are the rows"),
        ({"a": {"Ann": 1, "Bo": 2}, "b": {"Ann": 3, "Bo": 4}}, "not_rows", "'a', 'b', with the keys 'Ann', 'Bo'"),
        ({"a": {"0": 1, "1": 2}, "b": {"0": 3, "2": 4}}, "not_json", "'b' has other rows than 'a'; pandas writes rows"),
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, "not_json", "row 2 of 'data' has 1 values, 'columns' has 2"),
        ({"columns": ["a", "a"], "data": [[1, 2], [3, 4]]}, "not_json", "'columns' has 'a' twice"),
        ({"columns": [["a", "x"], ["a", "y"]], "data": [[1, 2], [3, 4]]}, "not_json", "a column is called ['a', 'x']"),
    ],
)  # fmt: skip
def test_tables_in_an_object_that_cannot_be_told(ingest: Any, content: Any, code: str, said: str) -> None:
    for indent in (None, 2):
        made = ingest({"x": json.dumps(content, indent=indent).encode()})
        assert made.codes == [code]
        assert said in made.faults[0].message
        assert code == "not_json" or 'to_json(…, orient="records", lines=True)' in made.faults[0].message


def test_a_table_by_columns_is_held_up_to_a_bound(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"x": json.dumps(BY_COLUMNS).encode()}
    monkeypatch.setattr(json_lines, "MOST_LINE", 200)  # it is longer than a line may be, and read all the same
    assert ingest(content).profile["rows"] == 20
    monkeypatch.setattr(frames, "MOST_FRAME", 500)
    made = ingest(content)
    assert made.codes == ["not_json"]
    assert (
        'more than 500 bytes by columns; pandas writes rows with to_json(…, orient="records"' in made.faults[0].message
    )


def test_a_line_too_long(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BLOCK_BYTES", 512)
    monkeypatch.setattr(json_lines, "MOST_LINE", 2048)
    made = ingest({"x": lines([*ROWS, {"kind": "x" * 5000}])["data.jsonl"]})
    assert [(fault.code, fault.row) for fault in made.faults] == [("line_too_long", 21)]
    assert ingest({"x": b'{"a": "' + b"x" * 5000}).codes == ["line_too_long"]


def test_nesting_without_end(ingest: Any) -> None:
    assert ingest(lines([*ROWS, '{"a":' + "[" * 50_000, {}])).codes[0] == "not_json"


@pytest.mark.parametrize("row", [0, 12])
def test_letters_that_are_not_utf8(ingest: Any, row: int) -> None:
    content = lines(ROWS)["data.jsonl"].split(b"\n")
    content[row] = '{"a": 1, "b": 2, "kind": "café"}'.encode("latin-1")
    made = ingest({"x": b"\n".join(content)})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_utf8", row + 1)]
    assert "café" in made.faults[0].message


def test_small_rows_that_grow_large(ingest: Any) -> None:
    rows = [{f"c{n}": 1 for n in range(1000)}] + [{}] * 1000
    assert ingest(lines(rows), limit=2**20).codes == ["unpacks_too_large"]
