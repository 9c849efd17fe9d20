"""Boxes in YOLO files: what is wrong with one has a name."""

from typing import Any

import pytest

from tests.boxes import PICTURES, codes, yolo
from tests.picture_archives import to_zip


@pytest.mark.parametrize(
    ("path", "content", "code", "row"),
    [
        ("labels/0.txt", b"3 0.5 0.5 0.1 0.1\n", "unknown_category", 1),
        ("labels/0.txt", b"0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n", "not_a_box", 2),
        ("labels/0.txt", b"0 0.5 0.5 0.1 0.1 0.2 0.3\n", "not_a_box", 1),
        ("labels/0.txt", b"0 nan 0.5 0.1 0.1\n", "not_a_box", 1),
        ("labels/0.txt", b"-1 0.5 0.5 0.1 0.1\n", "not_a_box", 1),
        ("labels/0.txt", b"0 0.9 0.5 0.5 0.1\n", "box_outside", 1),
        ("labels/0.txt", b"0 0.5 0.5 0 0.1\n", "empty_box", 1),
        ("labels/gone.txt", b"0 0.5 0.5 0.1 0.1\n", "missing_file", None),
        ("labels/0.txt", b"\xff\xfe", "not_yolo", None),
        ("data.yaml", b"names: [a, *b]", "not_yolo", None),
        ("data.yaml", b"a: &a [x]\nnames: [*a, *a]", "not_yolo", None),
        ("data.yaml", b"names: {1: cat, 2: dog}", "not_yolo", None),
        ("data.yaml", b"!!python/object/apply:os.system ['true']", "not_yolo", None),
    ],
)
def test_wrong_yolo_files(ingest: Any, path: str, content: bytes, code: str, row: int | None) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), path: content})})
    assert codes(made)[0] == (code, row)


def test_yolo_classes_by_a_list_or_by_number(ingest: Any) -> None:
    files = {path: held for path, held in yolo().items() if path != "data.yaml"}
    assert ingest({"x": to_zip({**PICTURES, **files})}).profile["target"]["labels"] == ["0", "1", "2"]
    named = {**PICTURES, **files, "classes.txt": b"cat\ndog\nowl\nbat\n"}
    made = ingest({"x": to_zip(named)})
    assert made.profile["target"]["classes"] == {"cat": 3, "dog": 2, "owl": 1, "bat": 0}
    assert "no picture has a box of the classes 'bat'" in made.profile["warnings"]
