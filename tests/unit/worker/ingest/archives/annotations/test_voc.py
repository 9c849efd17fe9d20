"""Boxes in Pascal VOC files: what is wrong with one has a name."""

from typing import Any

import pytest

from tests.boxes import PICTURES, codes, voc
from tests.picture_archives import to_zip

BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><annotation><filename>&c;</filename></annotation>'
FETCH = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><filename>&b;</filename></annotation>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (BOMB, "not_voc"),
        (FETCH, "not_voc"),
        (b"<annotation>", "not_voc"),
        (b"<html/>", "not_voc"),
        (b"\x00\x01", "not_voc"),
        (b"<annotation><object><name>cat</name></object></annotation>", "not_a_box"),
        (b"<annotation><object><bndbox/></object></annotation>", "not_a_box"),
    ],
)
def test_wrong_voc_files(ingest: Any, content: bytes, code: str) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **voc(), "Annotations/0.xml": content})})
    assert [fault.code for fault in made.faults] == [code]
    made = ingest({"x.zip": to_zip({**PICTURES, **voc(), "Annotations/gone.xml": b"<annotation/>"})})
    assert codes(made) == [("missing_file", None)]
