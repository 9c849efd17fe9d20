"""Turns values into class names and counts positions among them. Knows no file.

A number's name has no trailing `.0`, so that labels mean the same from every format: 7, 7.0 and "7.0" are "7".
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.source import Coded

WITHHELD = frozenset({"", "nan", "null", "none"})
"""A label that is one of these, in any case, is no label; the row stays."""
WHOLE = re.compile(r"([+-]?\d+)\.0+")
BLOCK = 1 << 16


class Coder:
    """Gathers a column of names block by block; four bytes per row are held."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._codes: list[NDArray[np.int32]] = []

    def add(self, names: Sequence[str | None], codes: NDArray[Any]) -> None:
        """Rows as positions in `names`; a withheld name becomes -1."""
        table = np.array([self._position(name) for name in names] + [-1], dtype=np.int32)
        self._codes.append(table[codes])  # -1 finds the last one

    def coded(self) -> Coded:
        return Coded(list(self._positions), np.concatenate([np.zeros(0, np.int32), *self._codes]))

    def _position(self, name: str | None) -> int:
        name = "" if name is None else name.strip()
        if name.casefold() in WITHHELD:
            return -1
        whole = WHOLE.fullmatch(name)
        return self._positions.setdefault(whole[1] if whole else name, len(self._positions))


def code_array(values: NDArray[Any]) -> Coded:
    """The names of an array [N] or [N, 1] of numbers, booleans or strings."""
    coder = Coder()
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].reshape(-1)
        distinct, codes = np.unique(block, return_inverse=True)
        coder.add([_name(value) for value in distinct], codes)
    return coder.coded()


def in_order(parts: Sequence[Coded]) -> Coded:
    """Parts one after the other; names sorted, whole numbers by value and before other names."""
    names = sorted({name for part in parts for name in part.names}, key=_rank)
    if len(parts) == 1 and parts[0].names == names:
        return parts[0]
    position = {name: number for number, name in enumerate(names)}
    tables = [np.array([position[name] for name in part.names] + [-1], dtype=np.int32) for part in parts]
    codes = [table[part.codes] for table, part in zip(tables, parts, strict=True)]
    return Coded(names, np.concatenate([np.zeros(0, np.int32), *codes]))


def _name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _rank(name: str) -> tuple[int, int, str]:
    whole = re.fullmatch(r"[+-]?[0-9]{1,18}", name)
    return (0, int(name), name) if whole else (1, 0, name)


def no_names(rows: int) -> Coded:
    """A column of names in which there is none."""
    return Coded([], np.full(rows, -1, np.int32))
