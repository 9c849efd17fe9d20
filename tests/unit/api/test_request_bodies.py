"""What can be told of a question before it is read."""

from typing import Any

import pytest

from app.api import request_bodies


@pytest.mark.parametrize(
    ("given", "short"),
    [
        ("", True),
        ("x" * request_bodies.SHORT_TEXT, True),
        (["a rose"], True),
        ("x" * (request_bodies.SHORT_TEXT + 1), False),
        (["a rose", "a tree"], False),
        ([], False),
        ([1, 2], False),
        ([[1, 2]], False),
        (b"RIFF", False),
        ({"a": 1}, False),
        (None, False),
    ],
)
def test_only_one_text_of_few_characters_is_short(given: Any, short: bool) -> None:
    assert request_bodies.short(given) is short
