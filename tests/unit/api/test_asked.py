"""What can be told of a question before it is read."""

from typing import Any

import pytest

from app.api import asked


@pytest.mark.parametrize(
    ("given", "short"),
    [
        ("", True),
        ("x" * asked.SHORT_TEXT, True),
        (["a rose"], True),
        ("x" * (asked.SHORT_TEXT + 1), False),
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
    assert asked.short(given) is short
