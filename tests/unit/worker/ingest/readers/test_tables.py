"""CSV: what is inferred of it, and every fault with its row, its column and its value."""

from typing import Any

import numpy as np
import pytest

from worker.ingest.readers import tables

IRIS = "length,width,species\n" + "".join(f"{n}.5,{n},{'setosa' if n % 2 else 'virginica'}\n" for n in range(20))


def csv(text: str) -> dict[str, bytes]:
    return {"data.csv": text.encode()}


def test_numbers_are_features_and_the_text_is_the_label(ingest: Any) -> None:
    made = ingest(csv(IRIS))
    assert made.profile["input"] == {
        "name": "features",
        "modality": "vectors",
        "shape": [2],
        "names": ["length", "width"],
    }
    np.testing.assert_array_equal(made.read("input"), [[n + 0.5, n] for n in range(20)])
    assert made.read("target").tolist() == ["setosa" if n % 2 else "virginica" for n in range(20)]
    assert made.profile["target"]["classes"] == {"setosa": 10, "virginica": 10}
    assert "'species', the only text column with few distinct values" in made.profile["inferred"]["label"]
    assert "label" in made.profile["inferred"]["override"]


def test_columns_are_described(ingest: Any) -> None:
    made = ingest(csv(IRIS))
    assert made.column("width") == {
        "name": "width",
        "plays": "features",
        "type": "float64",
        "missing": 0,
        "min": 0.0,
        "max": 19.0,
        "mean": pytest.approx(9.5),
        "std": pytest.approx(np.arange(20).std()),
    }
    assert (made.column("species")["plays"], made.column("species")["distinct"]) == ("label", 2)


def test_columns_as_asked(ingest: Any) -> None:
    text = "a,b,c,kind\n" + "".join(f"{n},{2 * n},{n % 3},x{n}\n" for n in range(12))
    made = ingest(csv(text), columns={"features": ["b", "a"], "label": "c"})
    np.testing.assert_array_equal(made.read("input"), [[2 * n, n] for n in range(12)])
    assert made.read("target").tolist() == [str(n % 3) for n in range(12)]
    assert made.profile["inferred"]["ignored"] == ["kind"]
    assert (made.column("kind")["plays"], made.column("kind")["type"]) == ("ignored", "text")


@pytest.mark.parametrize("name", ["label", "Target", "class", "y"])
def test_a_label_is_known_by_its_name(ingest: Any, name: str) -> None:
    made = ingest(csv(f"a,{name}\n" + "".join(f"{n},{n % 2}.0\n" for n in range(10))))
    assert made.profile["target"]["name"] == name
    assert made.read("target").tolist() == [str(n % 2) for n in range(10)]


def test_withheld_labels_keep_their_rows(ingest: Any) -> None:
    cells = ["cat", "", "NaN", "null", '""', " dog "]
    made = ingest(csv("a,label\n" + "".join(f"1,{cell}\n" for cell in cells)))
    assert made.read("target").tolist() == ["cat", None, None, None, None, "dog"]
    assert (made.profile["rows"], made.profile["target"]["missing"]) == (6, 4)


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_other_delimiters(ingest: Any, delimiter: str) -> None:
    np.testing.assert_array_equal(
        ingest({"x.tsv": IRIS.replace(",", delimiter).encode()}).read("input")[:, 1], np.arange(20)
    )


def test_quotes_newlines_marks_and_line_ends(ingest: Any) -> None:
    text = '\ufeffa,"the, ""label""",b\r\n' + "".join(f'{n},"two\nlines",{n}\r\n' for n in range(4))
    made = ingest(csv(text), columns={"label": 'the, "label"'})
    assert made.read("target").tolist() == ["two\nlines"] * 4
    assert made.read("input").tolist() == [[n, n] for n in range(4)]


def test_without_a_header(ingest: Any) -> None:
    made = ingest(csv("".join(f"{n},{n + 1}\n" for n in range(2, 8))))
    assert [column["name"] for column in made.profile["columns"]] == ["f0", "f1"]
    assert made.profile["rows"] == 6


def test_a_header_of_column_numbers(ingest: Any) -> None:
    made = ingest(csv("0,1,2\n5,6,7\n8,9,10\n"))
    assert made.read("input").tolist() == [[5, 6, 7], [8, 9, 10]]


def test_blocks_join_without_a_seam(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 64)
    made = ingest(csv(IRIS))
    np.testing.assert_array_equal(made.read("input")[:, 1], np.arange(20))


def test_words_for_nothing_may_come_late(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 256)
    rows = [f"{n},{n / 4},{'ab'[n % 2]}" for n in range(200)]
    rows[120:123], rows[199] = ["NA,1,a", "1,?,None", "nan,#N/A,b"], ",null,a"
    made = ingest(csv("\n".join(["x,y,label", *rows])), cleaning={"non_finite": "impute"})
    assert [tuple(where) for where in np.argwhere(np.isnan(made.read("input")))] == [
        (120, 0),
        (121, 1),
        (122, 0),
        (122, 1),
        (199, 0),
        (199, 1),
    ]
    assert [made.column(name)["missing"] for name in ("x", "y", "label")] == [3, 3, 1]


def test_ragged_rows_are_named_by_their_number(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 64)
    lines = IRIS.splitlines()
    lines[3] += ",9"  # the third row
    lines[15] = "1"
    lines[18] = "x" + lines[18]  # a later row keeps its number
    made = ingest(csv("\n".join(lines)))
    found = [(fault.code, fault.row, fault.column) for fault in made.faults]
    assert sorted(found) == [("not_a_number", 18, "length"), ("ragged_row", 3, None), ("ragged_row", 15, None)]
    assert "4 cells instead of 3" in next(fault.message for fault in made.faults if fault.row == 3)


def test_text_in_a_number_column(ingest: Any) -> None:
    made = ingest(csv("a,b\n1,2\n 3 ,tall\n5,1_0\n7,8\n9,1\n"))
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [
        ("not_a_number", 2, "b"),
        ("not_a_number", 3, "b"),
    ]
    assert "'tall' is not a number; correct it, leave the cell empty" in made.faults[0].message


@pytest.mark.parametrize(
    ("cell", "shown"), [("nan", "NaN"), ("-inf", "-Infinity"), ("Infinity", "Infinity"), ("", "NaN")]
)
def test_numbers_that_are_not_finite(ingest: Any, cell: str, shown: str) -> None:
    made = ingest(csv(f"a,b\n1,2\n3,{cell}\n5,6\n"))
    assert [(fault.code, fault.file, fault.row, fault.column) for fault in made.faults] == [
        ("non_finite", "data.csv", 2, "b")
    ]
    assert shown in made.faults[0].message


def test_a_number_too_large_for_float32(ingest: Any) -> None:
    made = ingest(csv("a,b\n1,2\n3,1e39\n"))
    assert (made.codes, made.faults[0].row, made.faults[0].column) == (["overflow"], 2, "b")
    assert "1e+39" in made.faults[0].message


def test_a_row_with_such_a_number_is_left_out_alone(ingest: Any) -> None:
    values = np.stack([np.arange(200_000) / 10, np.arange(200_000)], axis=1)  # more than pass at once
    rows = [f"{x},{y:.0f}" for x, y in values.tolist()]
    rows[150_000] = "-1e300,0"
    made = ingest(csv("a,b\n" + "\n".join(rows) + "\n"), on_fault="drop")
    assert made.profile["cleaning"]["dropped"] == {"overflow": 1}
    np.testing.assert_array_equal(made.read("input"), np.delete(values, 150_000, axis=0).astype(np.float32))
    told = made.column("a")
    assert (told["type"], told["min"], told["max"], told["missing"]) == ("float64", 0, 19999.9, 0)


def test_a_column_named_twice(ingest: Any) -> None:
    made = ingest(csv("a,b,a\n1,2,3\n4,5,6\n"))
    assert made.codes == ["duplicate_column"]
    assert made.faults[0].message == "data.csv: columns 1, 3 of 3 are all called 'a'; give each a name of its own"


def test_columns_without_a_name(ingest: Any) -> None:
    made = ingest(csv("List of 2024;;;;;;\nname;price;;a;b;c;d\nlamp;2;3;1;2;3;4\n"))
    (fault,) = made.faults
    assert "columns 2, 3, 4, 5, 6 … of 7 have no name" in fault.message
    assert "does the header begin with 'List of 2024'?" in fault.message


def test_where_no_column_can_be_the_input_its_values_say_why(ingest: Any) -> None:
    made = ingest(csv("name,price\nmixer,EUR 19\nlamp,USD 25\nsaw,CHF 9\n"))
    assert made.codes == ["no_input"]
    assert "'price' (text like 'EUR 19')" in made.faults[0].message


@pytest.mark.parametrize("at", [3, 2 << 20])
def test_bytes_that_are_not_utf8(ingest: Any, at: int) -> None:
    content = bytearray(("a,name\n" + "1,x\n" * (at // 4 + 10)).encode())
    content[at // 4 * 4 + 9] = 0xFF
    made = ingest({"x.csv": bytes(content)})
    assert made.codes == ["not_utf8"]


def test_text_in_latin1_is_named(ingest: Any) -> None:
    made = ingest({"x.csv": IRIS.replace("setosa", "café").encode("latin-1")})
    assert made.codes == ["not_utf8"]
    assert "0xe9; in Latin-1 it would read" in made.faults[0].message
    assert "café" in made.faults[0].message
    assert "give encoding latin-1" in made.faults[0].message
    windows = ingest({"x.csv": IRIS.replace("setosa", "“café”").encode("cp1252")})
    assert "in cp1252 it would read" in windows.faults[0].message


def test_tabs_as_asked(ingest: Any) -> None:
    """A tab separates, whatever else there is more of."""
    text = "name,first\tx\n" + "".join(f"a,b,c\t{n}\n" for n in range(6))
    made = ingest({"x": text.encode()}, format="tsv", columns={"label": "name,first"})
    assert made.read("input")[:, 0].tolist() == list(range(6))
    assert ingest({"x": IRIS.encode()}, format="tsv").codes == ["unknown_format"]


def test_labels_alone_beside_an_array(ingest: Any, to_npy: Any) -> None:
    values = np.arange(24.0).reshape(6, 4)
    made = ingest({"x.npy": to_npy(values), "names.csv": b"animal\ncat\ndog\n\ncat\ndog\ndog\n"})
    assert made.read("target").tolist() == ["cat", "dog", None, "cat", "dog", "dog"]
    np.testing.assert_array_equal(made.read("input"), values)
