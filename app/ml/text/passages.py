"""Texts to speak, as the pieces that a model of speech can read. Knows no network and no sound."""

import re
from collections.abc import Collection

from app.errors import EmptyInput, OutOfRange

ENDS = re.compile(r"(?<=[.!?;:])\s")
"""Where sentences end."""


def passages(text: str, known: Collection[str] | None, longest: int) -> list[str]:
    """`text` in pieces of at most `longest` characters, cut where sentences end, else between words.

    Only characters that are `known` are left, None standing for all. Unknown signs are read as the spaces between
    words; where the space itself is unknown, words are spoken one by one. Raises OutOfRange for an unknown letter or
    digit, which cannot be passed over, and for a longer word, and EmptyInput where nothing is left to speak.
    """
    if known is not None:
        strange = next((place for place, sign in enumerate(text) if sign.isalnum() and sign not in known), None)
        if strange is not None:
            letters = "".join(sorted(sign for sign in known if sign.isalnum()))
            raise OutOfRange(
                f"input: holds {text[strange]!r} at position {strange}, which the model has never heard; it has heard "
                f"{letters}",
                param="input",
            )
        text = "".join(sign if sign in known else " " for sign in text)
    whole = " ".join(text.split())
    parts = whole.split(" ") if known is not None and " " not in known else [whole]
    pieces = [piece for part in parts for piece in _cut(part, longest)]
    if not any(sign.isalnum() for piece in pieces for sign in piece):
        raise EmptyInput("input: holds nothing to speak; give at least one word", param="input")
    return pieces


def _cut(text: str, longest: int) -> list[str]:
    pieces = []
    while len(text) > longest:
        window = text[: longest + 1]
        ends = [found.start() for found in ENDS.finditer(window)]
        end = ends[-1] if ends else window.rfind(" ")
        if end <= 0:
            raise OutOfRange(
                f"input: the word {text.split(' ')[0]!r:.60} is longer than the longest text that the model learned "
                f"from, which has {longest} characters",
                param="input",
            )
        pieces.append(text[:end])
        text = text[end + 1 :]
    return [*pieces, text] if text else pieces
