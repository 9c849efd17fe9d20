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
BRACKET = ord("[")

_mine = threading.local()


def read(body: bytes, key: str) -> tuple[dict[str, Any], NDArray[np.float64]] | None:
    """The object in `body` without `key`, and the numbers under `key` as float64 [W] or [B, W], all finite.

    None for anything else than an object with plain values and with numbers, or rows of equally many, under `key`.
    """
    if _Parser is None:
        return None
    try:
        found = _parser(len(body)).parse(body)
        names = list(found)
        beside = {name: found[name] for name in names if name != key}
        numbers = found[key]
        values = np.frombuffer(numbers.as_buffer(of_type="d"))  # of all that lies below it, however deep
        nested = numbers[0].__class__ is numbers.__class__
        widths = {len(row) for row in numbers} if nested else {len(numbers)}
        rows = len(numbers) if nested else 0
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, RecursionError):
        _mine.parser = None
        return None
    brackets = np.count_nonzero(np.frombuffer(body, np.uint8) == BRACKET)  # one more would be an array deeper down
    plain = all(value is None or isinstance(value, str | int | float) for value in beside.values())
    if len(widths) != 1 or brackets != rows + 1 or len(beside) + 1 != len(names) or not plain:
        return None
    (width,) = widths
    if width == 0 or values.size != max(rows, 1) * width:
        return None
    return beside, values.reshape(rows, width) if nested else values


def _parser(size: int) -> Any:
    """One that no document refers to."""
    if size > LARGEST_KEPT:
        return _Parser()
    kept = getattr(_mine, "parser", None)
    if kept is None:
        kept = _mine.parser = _Parser()
    return kept
