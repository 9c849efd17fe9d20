"""Walks a JSON object or list element by element, so that its lists may be far larger than memory. Knows no meaning."""

import codecs
import json
from collections.abc import Iterator
from typing import Any

from app import bounded_json

MOST_VALUE = 16 << 20
"""Characters of one element: it is held in memory."""
BEYOND = 4
"""Characters that must follow a value before it is taken for whole: `1.5e+` is no number yet."""
NEAR = 16
"""A mistake so close to the end of what has come may be none once more has come."""
SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


def elements(chunks: Iterator[bytes]) -> Iterator[tuple[str, int, Any]]:
    """Key, number from 1 and value of every element of the lists in the object; other values with number 0.

    Raises ValueError where the text is no JSON object in UTF-8, and says at which character.
    """
    text = _Text(chunks)
    text.take("{")
    while text.next() != "}":
        key = text.value()
        if not isinstance(key, str):
            raise ValueError(f"a key is {key!r:.80}, no string, before character {text.done:,}")
        text.take(":")
        if text.next() == "[":
            for number, value in enumerate(text.list(), 1):
                yield key, number, value
        else:
            yield key, 0, text.value()
        if text.next() != "}":
            text.take(",")


def members(chunks: Iterator[bytes]) -> Iterator[Any]:
    """Every element of a list, or of the list with which an object begins; raises as `elements` does."""
    text = _Text(chunks)
    if text.next() == "{":
        text.take("{")
        text.value()
        text.take(":")
    yield from text.list()


class _Text:
    """What has come of a text, and how far it is read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._held, self._place, self._before, self._ended = "", 0, 0, False

    @property
    def done(self) -> int:
        """Characters that were read."""
        return self._before + self._place

    def next(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            while self._place < len(self._held):
                if self._held[self._place] not in SPACE:
                    return self._held[self._place]
                self._place += 1
            if self._ended:
                return ""
            self._fill()

    def take(self, character: str) -> None:
        found = self.next()
        if found != character:
            there = f"{found!r} stands" if found else "the text ends"
            raise ValueError(f"{there} at character {self.done:,}, where {character!r} is expected")
        self._place += 1

    def list(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        self.take("[")
        while self.next() != "]":
            yield self.value()
            if self.next() != "]":
                self.take(",")
        self.take("]")

    def value(self) -> Any:
        """The JSON value that begins with the next character that is no space."""
        self.next()
        while True:
            try:
                found, end = DECODER.raw_decode(self._held, self._place)
                if self._ended or end + BEYOND <= len(self._held):
                    if bounded_json.is_deep(self._held[self._place : end], found):
                        raise RecursionError
                    self._place = end
                    return found
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string") or error.pos > len(self._held) - NEAR
                if self._ended or not is_open:
                    raise ValueError(f"{error.msg} at character {self._before + error.pos:,}") from None
            except RecursionError:
                raise ValueError(f"{bounded_json.TOO_DEEP} at character {self.done:,}") from None
            if len(self._held) - self._place > MOST_VALUE:
                raise ValueError(f"the value at character {self.done:,} is longer than {MOST_VALUE:,} characters")
            self._fill()

    def _fill(self) -> None:
        """As much again as is held, at least a chunk: a long value is not looked through too often."""
        left = self._held[self._place :]
        self._before, self._place = self.done, 0
        parts, wanted = [left], max(1, len(left))
        while wanted > 0 and not self._ended:
            chunk = next(self._chunks, b"")
            self._ended = not chunk
            parts.append(self._decode.decode(chunk, final=self._ended))
            wanted -= len(parts[-1])
        self._held = "".join(parts)
