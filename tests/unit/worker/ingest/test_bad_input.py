"""What people send by mistake and belongs to no single format: each has its name, and memory stays flat."""

import resource
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.dataset_options import DatasetOptions
from worker.ingest.assembly import assemble
from worker.ingest.faults import Faults, Refused
from worker.ingest.source import Context, Input

MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("x.csv", b"text,label\n" + b"word " * 2000),
        ("x.csv", b"word," * 2000),
        ("x.jsonl", b'{"text": "' + b"w" * 9000),
    ],
)
def test_a_line_of_two_gigabytes(tmp_path: Path, name: str, first: bytes) -> None:
    path, size = tmp_path / name, 2_000_000_000
    with path.open("wb") as file:
        file.write(first)
        file.truncate(size)  # a hole: it takes no room on the disk
    faults = Faults()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ExitStack() as opened:
        context = Context(faults, opened, tmp_path, 4 * size, lambda rows: None)
        source = Input(name, name, opened.enter_context(path.open("rb")), size)
        with pytest.raises(Refused):
            assemble([source], DatasetOptions(files=[name]), context)
    assert [fault.code for fault in faults.kept] == ["line_too_long"]
    assert "longer than" in faults.kept[0].message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024, "in KiB"


@pytest.mark.parametrize("header", ["a , b\t,label  ", " a, b, label", "\ufeffa,b,label "])
def test_spaces_around_the_names_of_columns(ingest: Any, header: str) -> None:
    text = f"{header}\n" + "".join(f"{n}.5,{n},{'xy'[n % 2]}\n" for n in range(20))
    made = ingest({"x.csv": text.encode()}, columns={"features": ["a", "b"], "label": "label"})
    assert [column["name"] for column in made.profile["columns"]] == ["a", "b", "label"]
    assert made.profile["target"]["classes"] == {"x": 10, "y": 10}


def test_labels_that_differ_between_splits(ingest: Any) -> None:
    rows = [(n, "cat" if n % 2 else "dog", "train") for n in range(20)]
    rows += [(100 + n, "Cat" if n % 2 else "owl", "test") for n in range(10)]
    text = "x,label,split\n" + "".join(f"{n}.5,{label},{split}\n" for n, label, split in rows)
    made = ingest({"x.csv": text.encode()})
    assert made.profile["target"]["splits"]["train"]["owl"] == 0
    assert "no labelled row of the split train has the classes 'Cat', 'owl'" in made.profile["warnings"]


def test_a_class_with_one_member(ingest: Any) -> None:
    text = "x,label\n" + "".join(f"{n}.5,{'one' if n == 7 else 'many'}\n" for n in range(30))
    made = ingest({"x.csv": text.encode()})
    assert made.profile["target"]["classes"] == {"many": 29, "one": 1}
    assert any("1 class with a single row" in warning and "one" in warning for warning in made.profile["warnings"])
    assert sum(counts["one"] for counts in made.profile["target"]["splits"].values()) == 1
