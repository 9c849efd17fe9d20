"""A table in one object of JSON, as pandas' `to_json` writes it: by columns (its default), by rows, or split.

Which of keys are the rows' is only told where these count and the others do not. Knows no columns' meaning.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

RECORDS = 'to_json(…, orient="records", lines=True)'
"""What pandas is to be told instead."""
MOST_FRAME = 64 << 20
"""Bytes of columns that are held side by side."""
SPLIT = ({"columns", "data"}, {"columns", "data", "index"})
COLUMNS, ROWS, PARTS = "by columns", "by rows", "split"
Elements = Iterator[tuple[str, int, Any]]
Chunks = Callable[[], Iterator[bytes]]


class Outline:
    """What is seen of an object, key by key."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._objects, self._lists = True, True
        self._outer: set[bool] = set()
        self._inner: set[bool] = set()
        """Whether keys that were seen count rows, of the object and of those in it."""

    def see(self, key: str, number: int, value: Any) -> None:
        """A value as `json_lists.elements` gives it."""
        if len(self._keys) <= max(map(len, SPLIT)):
            self._keys.add(key)
        if number:
            self._objects = False
            self._lists = self._lists and (key != "data" or isinstance(value, list))
            return
        self._lists = False
        self._objects = self._objects and isinstance(value, dict)
        if self._objects:
            self._outer.add(key.isdecimal())
            self._inner.update(map(str.isdecimal, value))

    @property
    def frame(self) -> str | None:
        """How the object holds a table; None where it holds none, or where that cannot be told."""
        if self._lists and self._keys in SPLIT:
            return PARTS
        if not self._objects:
            return None
        told = [(ROWS, {True}, {False}), (COLUMNS, {False}, {True})]
        return next((name for name, outer, inner in told if (self._outer, self._inner) == (outer, inner)), None)


def outline(value: dict[str, Any]) -> Outline:
    """The same of an object that has been read."""
    seen = Outline()
    for key, held in value.items():
        for number, each in enumerate(held[:1], 1) if isinstance(held, list) else [(0, held)]:
            seen.see(key, number, each)
    return seen


def rows(frame: str, elements: Callable[[Iterator[bytes]], Elements], chunks: Chunks) -> Iterator[dict[str, Any]]:
    """The rows of such an object. Raises ValueError where they do not fit together."""
    if frame == ROWS:
        yield from (value for _, _, value in elements(chunks()))
    elif frame == PARTS:
        yield from _parts(elements, chunks)
    else:
        yield from _columns(elements(_bounded(chunks())))


def _parts(elements: Callable[[Iterator[bytes]], Elements], chunks: Chunks) -> Iterator[dict[str, Any]]:
    names = [value for key, number, value in elements(chunks()) if key == "columns" and number]
    odd = next((name for name in names if isinstance(name, list | dict)), None)
    if odd is not None:
        raise ValueError(f"a column is called {odd!r:.80}, which is no name")
    if twice := [name for name, times in Counter(map(str, names)).items() if times > 1]:
        raise ValueError(f"'columns' has {twice[0]!r} twice")
    for key, number, value in elements(chunks()):
        if key == "data" and number:
            if len(value) != len(names):
                raise ValueError(
                    f"row {number:,} of 'data' has {len(value):,} values, 'columns' has {len(names):,} names"
                )
            yield dict(zip(map(str, names), value, strict=True))


def _columns(elements: Elements) -> Iterator[dict[str, Any]]:
    columns: dict[str, list[Any]] = {}
    labels: tuple[str, ...] = ()
    for key, _, value in elements:
        if columns and labels != tuple(value):
            raise ValueError(f"{key!r} has other rows than {next(iter(columns))!r}; pandas writes rows with {RECORDS}")
        labels = tuple(value)
        columns[key] = list(value.values())
    for cells in zip(*columns.values(), strict=True):
        yield dict(zip(columns, cells, strict=True))


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        if done > MOST_FRAME:
            raise ValueError(f"it has more than {MOST_FRAME:,} bytes by columns; pandas writes rows with {RECORDS}")
        yield chunk
