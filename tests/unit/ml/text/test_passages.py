"""Texts cut into what a model of speech can read."""

import pytest

from app.errors import EmptyInput, OutOfRange
from app.ml.text.passages import passages

KNOWN = set("abcdefghijklmnopqrstuvwxyz .")


def test_a_short_text_is_one_piece_with_single_spaces() -> None:
    assert passages("  go \n left. ", KNOWN, 20) == ["go left."]


def test_long_texts_are_cut_where_sentences_end_else_between_words() -> None:
    assert passages("go left. then right at once", KNOWN, 10) == ["go left.", "then right", "at once"]
    assert passages("one two. three four", KNOWN, 19) == ["one two. three four"]
    assert passages("one two. three four", KNOWN, 18) == ["one two.", "three four"]


def test_unknown_signs_are_spaces_and_an_unknown_space_ends_a_piece() -> None:
    assert passages("stop, “now”!", KNOWN, 20) == ["stop now"]
    assert passages("stop, now!", KNOWN - {" "}, 20) == ["stop", "now"]


def test_without_known_characters_all_are_read() -> None:
    assert passages("Straße 7!", None, 20) == ["Straße 7!"]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("go 7", OutOfRange, "'7' at position 3"),
        ("größe", OutOfRange, "'ö' at position 2"),
        ("", EmptyInput, "nothing to speak"),
        (" ... ", EmptyInput, "nothing to speak"),
        ("💐", EmptyInput, "nothing to speak"),
        ("go incomprehensibly", OutOfRange, "'incomprehensibly'"),
    ],
)
def test_what_cannot_be_spoken_is_named(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        passages(text, KNOWN, 10)
