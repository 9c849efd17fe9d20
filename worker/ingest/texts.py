"""Texts of a block where they lie: in a mapped file, or in an Arrow column. Copies none before it is asked to.

Legend: `n` texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.ragged import Ragged

TAB, LINE_FEED, SPACE, DELETE, FOREIGN = 9, 10, 32, 127, 128
LINE_END = 2
"""Bytes of CR and LF."""
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Texts:
    """UTF-8; text `i` is `values[starts[i] : ends[i]]`. Less than 2 GiB lie between the first and the last byte."""

    values: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """[n], ascending"""
    ends: NDArray[np.int64]
    """[n], none beyond the next one's start"""
    known_plain: bool = False
    """Whether they are known to be plain, and those of white space alone to be empty."""

    @classmethod
    def of(cls, rows: Ragged) -> "Texts":
        return cls(rows.values, rows.offsets[:-1], rows.offsets[1:])

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[n], in bytes"""
        return self.ends - self.starts

    @property
    def whole(self) -> NDArray[np.uint8]:
        """The bytes from the first text to the last one, with what lies between: a view."""
        found: NDArray[np.uint8] = self.values[self.starts[0] : self.ends[-1]] if len(self) else self.values[:0]
        return found

    def taken(self, rows: Rows | None = None) -> pa.StringArray:
        """A copy of all texts, or of those at ascending positions, as Arrow has them."""
        if not len(self):
            return pa.array([], pa.string())
        return self._apart.take(pa.array(2 * (np.arange(len(self)) if rows is None else rows)))

    @cached_property
    def _apart(self) -> pa.StringArray:
        """The texts and, by turns, what lies between two of them."""
        offsets = np.empty((len(self), 2), np.int32)
        np.subtract(self.starts, self.starts[0], out=offsets[:, 0], casting="unsafe")
        np.subtract(self.ends, self.starts[0], out=offsets[:, 1], casting="unsafe")
        held = pa.py_buffer(np.ascontiguousarray(self.whole))
        return pa.StringArray.from_buffers(offsets.size - 1, pa.py_buffer(offsets), held)

    def blank(self) -> Mask:
        """[n], which have nothing but white space."""
        found: Mask = self.starts == self.ends
        if self.known_plain:
            return found
        first = self.values[np.where(found, 0, self.starts)] if len(self.values) else np.zeros(len(self), np.uint8)
        looked_at = np.flatnonzero(~found & ((first <= SPACE) | (first >= FOREIGN)))
        if len(looked_at):
            trimmed = pc.binary_length(pc.utf8_trim_whitespace(self.taken(looked_at)))
            found[looked_at] = trimmed.to_numpy(zero_copy_only=False) == 0
        return found

    def is_plain(self) -> bool:
        """Whether all is ASCII without control characters."""
        if self.known_plain:
            return True
        whole = self.whole
        if whole.max(initial=0) >= DELETE:
            return False
        between = self.starts[1:] - self.ends[:-1]
        if between.max(initial=0) <= LINE_END:  # then it holds nothing but the ends of lines
            further = np.count_nonzero(whole < SPACE) - between.sum()
            if further == 0 or further == np.count_nonzero(whole == TAB):
                return True
        low = whole[whole < SPACE]
        return bool(((low == TAB) | (low == LINE_FEED)).all())


def nothing(rows: int) -> Texts:
    """So many empty texts."""
    return Texts(np.zeros(0, np.uint8), np.zeros(rows, np.int64), np.zeros(rows, np.int64))


def joined(parts: Sequence[Texts]) -> Texts:
    """Parts one after the other; copied where there are several."""
    if len(parts) == 1:
        return parts[0]
    filled = [part for part in parts if len(part)]
    before = np.cumsum([0, *(len(part.whole) for part in filled[:-1])])
    moved = [(part, done - part.starts[0]) for part, done in zip(filled, before, strict=True)]
    starts, ends = ([getattr(part, place) + by for part, by in moved] for place in ("starts", "ends"))
    return Texts(np.concatenate([part.whole for part in filled]), np.concatenate(starts), np.concatenate(ends))
