"""Rows of different lengths in one flat array. Knows no file and no meaning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ragged:
    """Row `i` is `values[offsets[i] : offsets[i + 1]]`. Both may be mapped from a file and must not be written to."""

    values: NDArray[Any]
    """[total, …]"""
    offsets: NDArray[np.int64]
    """[rows + 1], ascending"""

    @classmethod
    def of(cls, rows: Sequence[NDArray[Any]]) -> "Ragged":
        """Copies arrays of one type, one per row."""
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return cls(np.concatenate(rows), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[rows]"""
        return np.diff(self.offsets)

    @property
    def flat(self) -> NDArray[Any]:
        """The values of all rows, one after the other: a view."""
        view: NDArray[Any] = self.values[self.offsets[0] : self.offsets[-1]]
        return view

    @property
    def owners(self) -> NDArray[np.int64]:
        """The row of each of `flat`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def row(self, number: int) -> NDArray[Any]:
        """A view of one row."""
        view: NDArray[Any] = self.values[self.offsets[number] : self.offsets[number + 1]]
        return view

    def __getitem__(self, chosen: slice | NDArray[Any]) -> "Ragged":
        """The rows of a slice without step (views), or those at positions or under a mask (copied)."""
        if isinstance(chosen, slice):
            start, stop, step = chosen.indices(len(self))
            assert step == 1, "rows are taken one after the other"
            return Ragged(self.values, self.offsets[start : max(start, stop) + 1])
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        lengths = self.lengths[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[places], offsets)
