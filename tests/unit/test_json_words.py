"""Values in messages are what the client sent, in its own words."""

from typing import Any

import numpy as np
import pytest

from app.json_words import told, told_kind


@pytest.mark.parametrize(
    ("value", "words", "kind"),
    [
        (None, "null", "null"),
        (True, "true", "a boolean"),
        (7, "7", "a number"),
        (0.5, "0.5", "a number"),
        ("64px", "'64px'", "a text"),
        ([None, "ä"], '[null, "ä"]', "a list"),
        ({"a": False}, '{"a": false}', "an object"),
        (b"x", "a file", "a file"),
        (np.float32(0.5), "0.5", "float32"),
        ([np.int64(3)], "[3]", "a list"),
    ],
)
def test_values_are_told_as_json_has_them(value: Any, words: str, kind: str) -> None:
    assert told(value) == words
    assert told_kind(value) == kind


def test_long_values_are_cut() -> None:
    assert told("x" * 500) == "'" + "x" * 99 + "…"
    assert len(told([0] * 500, 60)) == 61
