"""JSON with one array of numbers, read straight into memory: no Python number is ever made. Knows no route.

What it cannot read this way, or only perhaps, it leaves to the careful reader, whose errors have names.
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


def read(body: bytes, key: str) -> tuple[dict[str, Any], NDArray[np.float64]] | None:
    """The object in `body` without `key`, and the numbers under `key` as float64 [W] or [B, W], all finite.

    None for anything else than an object with plain values and with numbers, or rows of equally many, under `key`.
    """
    if _Parser is None:
        return None
    try:
        found = _parser(len(body)).parse(body)
        numbers = found[key]
        values = np.frombuffer(numbers.as_buffer(of_type="d"))  # of all that lies below it, however deep
        beside, names = {}, 0
        for name in found:
            names += 1
            if name != key:
                beside[name] = found[name]
        rows, width = 0, len(numbers)
        if numbers[0].__class__ is numbers.__class__:
            rows, width = width, len(numbers[0])
            if any(len(row) != width for row in numbers):
                return None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, RecursionError):
        _mine.parser = None
        return None
    if not width or values.size != max(rows, 1) * width or len(beside) + 1 != names or _arrays(body, rows) != rows + 1:
        return None
    for value in beside.values():
        if value is not None and not isinstance(value, str | int | float):
            return None
    return beside, values.reshape(rows, width) if rows else values


def _arrays(body: bytes, rows: int) -> int:
    """How many arrays there are at most, strings being few; more than one and its rows would lie deeper down."""
    if rows == 0:
        return body.count(b"[")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))  # quicker where there are many


def _parser(size: int) -> Any:
    """One that no document refers to."""
    if size > LARGEST_KEPT:
        return _Parser()
    kept = getattr(_mine, "parser", None)
    if kept is None:
        kept = _mine.parser = _Parser()
    return kept
