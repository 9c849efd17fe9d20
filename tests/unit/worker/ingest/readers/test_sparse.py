"""Sparse rows of text: what scikit-learn writes and reads, and what people write by hand."""

import io
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import dump_svmlight_file

from worker.ingest.readers import sparse

DRAWN = np.random.default_rng(0)
SPARSE = np.where(DRAWN.random((60, 9)) < 0.3, DRAWN.normal(size=(60, 9)).round(3), 0)
SPARSE[:, 8] = 1.5  # so that no width is lost
CLASSES = DRAWN.integers(0, 2, 60) * 2 - 1


def written(values: Any, targets: Any, **how: Any) -> bytes:
    held = io.BytesIO()
    dump_svmlight_file(values, targets, held, **how)
    return held.getvalue()


def rows(made: Any) -> Any:
    return made.read("input")


@pytest.mark.parametrize("chunk", [7, 64, 1 << 20])
@pytest.mark.parametrize("zero_based", [True, False])
def test_what_scikit_learn_writes_is_read(
    ingest: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, zero_based: bool
) -> None:
    monkeypatch.setattr(sparse, "CHUNK", chunk)
    values = SPARSE.copy()
    values[:, 0] = 0.25
    made = ingest({"d.svm": written(values, CLASSES, zero_based=zero_based, comment="made\nfor tests")})
    assert made.profile["modality"] == "vectors"
    assert made.profile["target"]["classes"] == {"-1": int((CLASSES < 0).sum()), "1": int((CLASSES > 0).sum())}
    assert np.allclose(rows(made), values, atol=1e-6)
    assert made.read("target").tolist() == [str(each) for each in CLASSES]


def test_indices_that_count_from_0_need_a_0_or_a_word_of_it(ingest: Any) -> None:
    values = SPARSE.copy()
    values[:, 0] = 0
    bare = written(values, CLASSES, zero_based=True)
    for text, width in (
        (bare, 8),
        (bare + b"1 0:0\n", 9),
        (written(values, CLASSES, zero_based=True, comment="ours"), 9),
        (written(values, CLASSES, zero_based=False, comment="ours"), 9),
    ):
        made = ingest({"d.svm": text})
        assert rows(made).shape[1] == width
        assert np.allclose(rows(made)[:60], values[:, 9 - width :], atol=1e-6)
        assert ("write 0:0" in made.profile["inferred"]["features"]) == (b"zero" not in text and text[-4:] != b"0:0\n")


def test_what_people_write_is_read(ingest: Any) -> None:
    text = b"# a comment\r\n+1\t1:0.5  3:-2e-1 # the first\r\n\r\n-1 2:+.5\n1\n-1 3:7.\n" * 5
    made = ingest({"train.txt": text})
    assert rows(made).tolist() == [[0.5, 0, pytest.approx(-0.2)], [0, 0.5, 0], [0, 0, 0], [0, 0, 7]] * 5
    assert made.profile["target"]["classes"] == {"-1": 10, "1": 10}


def test_files_are_as_wide_as_the_widest(ingest: Any) -> None:
    narrow, wide = written(SPARSE[:, :5], CLASSES), written(SPARSE, CLASSES)
    made = ingest(
        {"train.svm": narrow, "test.svm": wide}, split={"files": {"train": ["train.svm"], "test": ["test.svm"]}}
    )
    assert made.profile["input"]["shape"] == [9]
    assert np.allclose(rows(made)[:60, :5], SPARSE[:, :5], atol=1e-6)
    assert not rows(made)[:60, 5:].any()


def test_fractions_are_values(ingest: Any) -> None:
    made = ingest({"d": written(SPARSE, SPARSE.sum(1) + 0.123)})
    assert made.profile["target"]["modality"] == "numbers"
    assert np.allclose(made.read("target"), SPARSE.sum(1) + 0.123)


def test_queries_are_a_column_to_group_by(ingest: Any) -> None:
    text = written(SPARSE, CLASSES, query_id=np.repeat(np.arange(12), 5))
    made = ingest({"d.txt": text}, columns={"group": "qid"})
    assert made.profile["input"]["shape"] == [9]
    assert "qid" in {column["name"] for column in made.profile["columns"] if column["plays"] == "group"}
    assert any("of 'qid' on both sides" in warning for warning in ingest({"d.txt": text}).profile["warnings"])


@pytest.mark.parametrize("on_fault", ["fail", "drop"])
def test_a_row_that_is_none_is_a_fault(ingest: Any, on_fault: str) -> None:
    lines = written(SPARSE, CLASSES).splitlines(keepends=True)
    bad = [*lines[:20], b"1 2:x\n", *lines[20:40], b"1,3 2:1\n", *lines[40:]]
    made = ingest({"d.svm": b"".join(bad)}, on_fault=on_fault)
    if on_fault == "fail":
        assert [(fault.code, fault.row) for fault in made.faults] == [("not_sparse", 21), ("not_sparse", 42)]
        assert "d.svm, row 21: '1 2:x' is no target with pairs index:value" in made.faults[0].message
    else:
        assert np.allclose(rows(made), SPARSE, atol=1e-6)
        assert made.profile["cleaning"]["dropped"] == {"not_sparse": 2}


def test_a_number_beyond_all_numbers_is_a_fault(ingest: Any) -> None:
    (fault,) = ingest({"d.svm": b"1 1:2 2:1e999\n-1 1:1 2:1\n" + b"1 1:3\n-1 2:.5\n" * 20}).faults
    assert (fault.code, fault.row, fault.column) == ("non_finite", 1, "features[1]")


def test_a_line_without_an_end_is_a_fault(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "CHUNK", 64)
    monkeypatch.setattr(sparse, "MOST_LINE", 1000)
    text = b"1 1:2\n-1 2:1\n" * 300 + b"1 " + b"1:2 " * 1000
    (fault,) = ingest({"d.svm": text}).faults
    assert (fault.code, "row 601" in fault.message) == ("line_too_long", True)


def test_a_row_too_wide_to_be_written_out_is_refused(ingest: Any) -> None:
    (fault,) = ingest({"d.svm": b"1 1:1\n-1 999999999:1\n" * 10}).faults
    assert fault.code == "unpacks_too_large"
    assert "20 rows of 999,999,999 numbers" in fault.message


@pytest.mark.parametrize(
    "text", [b"1 2 3\n4 5 6\n", b"a 1:2\n", b"1 2:1 1:1\n", b"see 10:30\n", b"1\n2\n", b"", b"12", b"1 2:3\nno row\n"]
)
def test_other_texts_are_not_taken_for_sparse_rows(text: bytes) -> None:
    assert not sparse.is_sparse(text)
