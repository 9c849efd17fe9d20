"""Tables of Weka and KEEL, whose columns are named in front of the rows."""

from typing import Any

import numpy as np
import pytest

from tests.picture_archives import to_zip
from worker.ingest.readers import attributes

NUMBERS = np.random.default_rng(0).normal(size=(40, 2)).round(3)
KINDS = ["Iris setosa", "Iris-versicolor"]
WEKA = """% 1. Title: flowers
%
@RELATION flowers

@ATTRIBUTE length  NUMERIC
@attribute 'petal\\'s width' REAL
@ATTRIBUTE class {'Iris setosa',Iris-versicolor}

@DATA
% the rows
"""
KEEL = """@relation  flowers
@attribute length real [4.3, 7.9]
@attribute width real [2.0, 4.4]
@attribute class{negative, positive}
@inputs length, width
@outputs class
@data
"""


def weka(row: int) -> str:
    kind = KINDS[row % 2]
    return f"{NUMBERS[row, 0]},{NUMBERS[row, 1]},{repr(kind) if ' ' in kind else kind}"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk", [9, 64, 1 << 20])
def test_weka(ingest: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, newline: str) -> None:
    monkeypatch.setattr(attributes, "CHUNK", chunk)
    lines = [line for row in range(40) for line in (weka(row), *["% between", ""][: row % 3])]
    made = ingest({"flowers.arff": (WEKA + "\n".join(lines)).replace("\n", newline).encode()})
    assert made.profile["input"]["names"] == ["length", "petal's width"]
    assert made.profile["target"]["classes"] == dict.fromkeys(KINDS, 20)
    assert np.allclose(made.read("input"), NUMBERS, atol=1e-6)
    assert made.read("target").tolist() == [KINDS[row % 2] for row in range(40)]


def test_keel(ingest: Any) -> None:
    lines = [f"{a}, {b}, {'positive' if row % 3 else '<null>'}" for row, (a, b) in enumerate(NUMBERS)]
    lines = [line.replace("positive", "negative") if row % 2 else line for row, line in enumerate(lines)]
    made = ingest({"flowers.dat": (KEEL + "\n".join(lines)).encode()})
    assert made.profile["input"]["names"] == ["length", "width"]
    assert np.allclose(made.read("input"), NUMBERS, atol=1e-6)
    assert made.profile["target"]["missing"] == 14
    assert set(made.profile["target"]["classes"]) == {"negative", "positive"}


def test_splits_in_an_archive(ingest: Any) -> None:
    lines = [weka(row) for row in range(40)]
    members = {
        f"{name}.arff": (WEKA + "\n".join(part)).encode() for name, part in (("train", lines[9:]), ("test", lines[:9]))
    }
    made = ingest({"flowers.zip": to_zip(members)})
    assert np.allclose(made.splits["test"].read("input", 0), NUMBERS[:9], atol=1e-6)


def test_cells_that_are_not_known(ingest: Any) -> None:
    lines = [f"{'?' if row == 5 else row},{row % 7},{'?' if row % 4 == 0 else 'why?'}" for row in range(40)]
    made = ingest({"x.arff": (KEEL + "\n".join(lines)).encode()}, cleaning={"non_finite": "drop"})
    assert made.profile["input"]["shape"] == [2]
    assert made.profile["target"]["classes"] == {"why?": 29}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("@relation x\n@attribute a numeric\n", "a line @attribute for every column and @data must follow"),
        ("@relation x\n@data\n1,2\n", "a line @attribute for every column and @data must follow"),
        ("@relation x\n@attribute a numeric\n@data\n{0 1}\n{0 2}\n", "has sparse rows, '{0 1}'"),
        ("@relation x\n@attribute a numeric\n@data\n" + "1" * 6_000_000, "longer than 4,194,304 bytes"),
        ("@relation x\n@attribute bag relational\n@attribute a numeric\n@end bag\n@data\n'1',2\n", "'bag'"),
        ("@relation x\n@attribute a numeric\n@attribute a numeric\n@data\n1,2\n3,4\n", "'a'"),
    ],
)
def test_what_is_no_such_table_is_named(ingest: Any, content: str, said: str) -> None:
    made = ingest({"x.arff": content.encode()})
    assert said in made.faults[0].message
