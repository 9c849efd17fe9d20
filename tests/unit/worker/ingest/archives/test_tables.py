"""Archives of tables alone: as if these had been sent one by one, with the splits that their names say."""

import gzip
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.picture_archives import to_tar, to_zip

N = 40


def table(first: int, rows: int = N, *, label: bool = True) -> bytes:
    header = "a,b,label\n" if label else "a,b\n"
    lines = (f"{n}.5,{n * n % 7}{f',{chr(120 + n % 2)}' if label else ''}\n" for n in range(first, first + rows))
    return (header + "".join(lines)).encode()


def lines(first: int) -> bytes:
    rows = (f'{{"a": {n}.5, "b": {n * n % 7}, "label": "{chr(120 + n % 2)}"}}\n' for n in range(first, first + N))
    return "".join(rows).encode()


def parquet(first: int) -> bytes:
    held = io.BytesIO()
    numbers = list(range(first, first + N))
    pq.write_table(pa.table({"a": [n + 0.5 for n in numbers], "label": ["xy"[n % 2] for n in numbers]}), held)
    return held.getvalue()


@pytest.mark.parametrize(
    "held",
    [
        {"train.csv": table(0), "test.csv": table(N), "sample_submission.csv": b"a,label\n1,x\n2,y\n"},
        {"data/train.csv": table(0), "data/test.csv": table(N), "data_description.txt": b"what a and b are"},
        {"train.jsonl": lines(0), "test.jsonl": lines(N)},
        {"set_train.csv.gz": gzip.compress(table(0)), "set_test.csv.gz": gzip.compress(table(N))},
        {"data/train-00000-of-00001.parquet": parquet(0), "data/test-00000-of-00001.parquet": parquet(N)},
        {
            "training/0.csv": table(0, N // 2),
            "training/1.csv": table(N // 2, N // 2),
            "testing/x.csv": table(N),
        },
    ],
)
def test_tables_called_by_splits_are_these(ingest: Any, held: dict[str, bytes]) -> None:
    made = ingest({"x.zip": to_zip(held)})
    assert made.profile["splits"]["test"] == N, made.faults
    assert made.profile["splits"]["train"] + made.profile["splits"]["validation"] == N
    np.testing.assert_array_equal(made.read("input")[:, 0], [n + 0.5 for n in range(2 * N)])
    assert made.profile["inferred"]["split"].startswith("the names of the tables: x.zip/")
    others = [name for name in held if "submission" in name or name.endswith(".txt")]
    assert all(name in made.profile["inferred"]["tables"] for name in others)


def sparse(first: int) -> bytes:
    return "".join(f"{n % 2} 0:{n}.5 1:{n * n % 7}\n" for n in range(first, first + N)).encode()


@pytest.mark.parametrize("names", [("a1a.train", "a1a.test"), ("train.svm", "test.svm"), ("a/x.train", "a/x.val")])
def test_files_of_svmlight_called_by_splits_are_these(ingest: Any, names: tuple[str, str]) -> None:
    made = ingest({"x.zip": to_zip({names[0]: sparse(0), names[1]: sparse(N), "README": b"what it is"})})
    assert made.profile["splits"]["validation" if "val" in names[1] else "test"] == N, made.faults
    assert sorted(made.read("input")[:, 0]) == [n + 0.5 for n in range(2 * N)]
    assert made.profile["target"]["classes"] == {"0": N, "1": N}


def test_labels_that_are_withheld_from_the_test(ingest: Any) -> None:
    made = ingest(
        {"x.tar": to_tar({"train.csv": table(0), "valid.csv": table(N), "test.csv": table(2 * N, label=False)})}
    )
    assert made.profile["splits"] == {"train": N, "validation": N, "test": N}
    assert made.profile["target"]["classes"] == {"x": N, "y": N}


@pytest.mark.parametrize(("kind", "code"), [("{}", "shapes_differ"), ("kind {}", "columns_differ")])
def test_what_is_to_be_predicted_is_asked_for_where_no_name_says_it(ingest: Any, kind: str, code: str) -> None:
    rows = [f"{n % 2},{kind.format(n % 7)},{n}.5\n" for n in range(2 * N)]
    held = {"train.csv": "sunk,a,b\n" + "".join(rows[:N]), "test.csv": "a,b\n" + "".join(row[2:] for row in rows[N:])}
    content = to_zip({name: text.encode() for name, text in held.items()})
    made = ingest({"x.zip": content})
    assert made.codes == [code]
    assert "; name 'sunk', which x.zip/test.csv lacks, in columns.label or columns.value" in made.faults[0].message
    told = ingest({"x.zip": content}, columns={"label": "sunk"})
    assert told.profile["splits"]["test"] == N
    assert told.profile["target"]["classes"].keys() == {"0", "1"}


def test_tables_of_other_names_are_stacked_and_their_splits_drawn(ingest: Any) -> None:
    parts = {"a.csv": table(0), "b.csv": table(N)}
    made, alone = ingest({"x.zip": to_zip(parts)}), ingest(parts)
    assert made.profile["splits"] == alone.profile["splits"]
    np.testing.assert_array_equal(made.read("input"), alone.read("input"))


def test_splits_that_somebody_asked_for_are_drawn(ingest: Any) -> None:
    content = to_zip({"train.csv": table(0), "test.csv": table(N)})
    made = ingest({"x.zip": content}, split={"train": 0.5, "validation": 0.25, "test": 0.25})
    assert made.profile["splits"] == {"train": N, "validation": N // 2, "test": N // 2}


def test_faults_name_the_table(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip({"train.csv": table(0), "test.csv": table(N) + b"1,2\n"})})
    assert [(fault.file, fault.row) for fault in made.faults] == [("x.zip", N + 1)]
    assert made.faults[0].message.startswith("x.zip/test.csv, row 41 has 2 cells")
    made = ingest({"x.zip": to_zip({"train.csv": table(0), "test.csv": table(N), "stores.csv": b"s,t\n1,2\n3,4\n"})})
    assert made.codes == ["unknown_split"]
    assert "has 'stores.csv' beside 'train.csv', 'test.csv'; every table must" in made.faults[0].message
