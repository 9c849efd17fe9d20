"""JSON with one array of numbers, read straight into memory: no Python number is ever made. Or with texts there.

Knows no route. What it cannot read this way, or only perhaps, it leaves to the careful reader, whose errors have names.
"""

import importlib
import importlib.util
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

# there is no wheel for every Python; without one everything is read carefully
_Parser: Any = importlib.import_module("simdjson").Parser if importlib.util.find_spec("simdjson") else None

LARGEST_KEPT = 4 * 1024 * 1024
"""Bodies up to this size are read with a parser that keeps its memory: fresh pages cost more than the reading."""

_mine = threading.local()


def read(
    body: bytes, key: str, *, within: str | None = None, texts: bool = False
) -> tuple[dict[str, Any], NDArray[Any]] | None:
    """The object in `body` without `key`, and the numbers under `key` as float64 [W] or [B, W], all finite.

    None for anything else than an object with plain values and with numbers, or rows of equally many, under `key`.
    Where `texts` are wanted, too, a text or a list of such is read as objects [B].
    The numbers stand in the object under `within` where that is named, and what surrounds it is plain, too.
    """
    if _Parser is None:
        return None
    try:
        whole = _parser(len(body)).parse(body)
        found = whole if within is None else whole[within]
        given = found[key]
        values = _texts(given) if texts else None
        if values is None:
            values = _numbers(given, body)
        beside = _beside(found, key)
        around = beside if within is None else _beside(whole, within)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, RecursionError):
        _mine.parser = None
        return None
    if values is None or beside is None or around is None:
        return None
    if within is not None:
        around[within] = beside
    return around, values


def _texts(given: Any) -> NDArray[Any] | None:
    """A text, or a list that holds nothing else."""
    if given.__class__ is str:
        given = [given]
    elif given[0].__class__ is not str:
        return None
    else:
        given = given.as_list()
        if any(text.__class__ is not str for text in given):
            return None
    return np.array(given, object)


def _numbers(given: Any, body: bytes) -> NDArray[np.float64] | None:
    """A list of numbers, or of equally long ones of such."""
    values = np.frombuffer(given.as_buffer(of_type="d"))  # of all that lies below it, however deep
    rows, width = 0, len(given)
    if given[0].__class__ is given.__class__:
        rows, width = width, len(given[0])
        if any(len(row) != width for row in given):
            return None
    if not width or values.size != max(rows, 1) * width or _arrays(body, rows) != rows + 1:
        return None
    return values.reshape(rows, width) if rows else values


def _beside(found: Any, key: str) -> dict[str, Any] | None:
    """What an object holds beside `key`; None unless it is plain and each name is there once."""
    beside, names = {}, 0
    for name in found:
        names += 1
        if name == key:
            continue
        value = beside[name] = found[name]
        if value is not None and not isinstance(value, str | int | float):
            return None
    return beside if len(beside) + 1 == names else None


def _arrays(body: bytes, rows: int) -> int:
    """How many arrays there are at most, or two where none has rows; more than one and its rows would lie deeper."""
    if rows == 0:
        return 1 if body.find(b"[", body.find(b"[") + 1) < 0 else 2
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))  # quicker where there are many


def _parser(size: int) -> Any:
    """One that no document refers to."""
    if size > LARGEST_KEPT:
        return _Parser()
    kept = getattr(_mine, "parser", None)
    if kept is None:
        kept = _mine.parser = _Parser()
    return kept
