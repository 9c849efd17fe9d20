"""Walks a JSON object or list element by element, so that its lists may be far larger than memory. Knows no meaning."""

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from app import bounded_json
from worker.ingest.faults import some
from worker.ingest.readers import frames

MOST_VALUE = 16 << 20
"""Characters of one element: it is held in memory."""
BEYOND = 4
"""Characters that must follow a value before it is taken for whole: `1.5e+` is no number yet."""
NEAR = 16
"""A mistake so close to the end of what has come may be none once more has come."""
LISTED = 5
LONGER = 10
"""Times that a list of rows has as many elements as what stands beside it."""
SPACE = " \t\r\n"
DECODER = json.JSONDecoder()


def elements(chunks: Iterator[bytes]) -> Iterator[tuple[str, int, Any]]:
    """Key, number from 1 and value of every element of the lists in the object; other values with number 0.

    Raises ValueError where the text is no JSON object in UTF-8, and says at which character.
    """
    yield from _Text(chunks).object()


def pairs(chunks: Iterator[bytes]) -> Iterator[tuple[str, Any]]:
    """Key and value of every member of an object, lists whole; raises as `elements` does."""
    text = _Text(chunks)
    yield from ((key, text.value()) for key in text.names())


def members(chunks: Iterator[bytes]) -> Iterator[Any]:
    """Every element of a list; raises as `elements` does."""
    yield from _Text(chunks).list()


def rows(chunks: Callable[[], Iterator[bytes]], tell: Callable[[str], None]) -> Iterator[Any]:
    """Every row of a list, of the one list of rows that an object holds, of a table as pandas writes it, or of objects
    one behind the other.

    Raises as `elements` does, and where an object holds several such lists: if one is LONGER times the others these are
    passed over, and `tell` hears so. An object is read twice.
    """
    text = _Text(chunks())
    if text.next() == "[":
        yield from text.list()
        return
    held: Counter[str] = Counter()
    outline = frames.Outline()
    for key, number, value in text.object():
        outline.see(key, number, value)
        held[key] += number > 0 and isinstance(value, dict | list)
    lists = [key for key, number in held.most_common() if number > 1]
    if outline.frame is not None and not text.next():
        tell(f"a table in an object, {outline.frame}, as pandas' to_json writes it")
        yield from frames.rows(outline.frame, elements, chunks)
        return
    if text.next() or not lists:
        yield from _Text(chunks()).objects()
        return
    if lists[1:] and held[lists[0]] < LONGER * held[lists[1]]:
        named = ", ".join(f"{key!r} ({held[key]:,})" for key in held if key in lists[:LISTED])
        raise ValueError(f"the object holds several lists, {named}; keep the one whose elements are the rows")
    if lists[1:]:
        tell(f"the list {lists[0]!r} of {held[lists[0]]:,}; passed over: {some(lists[1:])}, far shorter")
    yield from (value for key, number, value in elements(chunks()) if number and key == lists[0])


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

    def objects(self) -> Iterator[Any]:
        """Objects one behind the other, up to the end."""
        while begins := self.next():
            if begins != "{":
                self.take("{")
            yield self.value()

    def object(self) -> Iterator[tuple[str, int, Any]]:
        """What `elements` gives of the object that begins here."""
        for key in self.names():
            if self.next() == "[":
                for number, value in enumerate(self.list(), 1):
                    yield key, number, value
            else:
                yield key, 0, self.value()

    def names(self) -> Iterator[str]:
        """The keys of the object that begins here; whoever has one reads its value before the next."""
        self.take("{")
        while self.next() != "}":
            key = self.value()
            if not isinstance(key, str):
                raise ValueError(f"a key is {key!r:.80}, no string, before character {self.done:,}")
            self.take(":")
            yield key
            if self.next() != "}":
                self.take(",")
        self.take("}")

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
