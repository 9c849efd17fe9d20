"""Large arrays lie in files and are mapped, never held: a block's pages are given back once the block is done."""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.texts import Texts

SELDOM = 64
"""Blocks after which their pages are given back, a few hundred megabytes: doing so takes them from threads that read
ahead, too, and fetching them for the next pass costs as much as looking at them."""


@dataclass(frozen=True)
class Mapped:
    """A column whose rows differ in length."""

    held: Ragged
    release: Callable[[], None] = lambda: None
    """Gives the mapped pages back; the rows stay valid."""

    def __len__(self) -> int:
        return len(self.held)

    def fitting(self, start: int, stop: int, most: int) -> tuple[int, int]:
        """The last of rows `start` to `stop` up to which they take `most` bytes or fewer, and how many they take."""
        offsets, size = self.held.offsets[start : stop + 1], max(1, self.held.values[:1].nbytes)
        rows = int(np.searchsorted(offsets, offsets[0] + most // size, side="right")) - 1
        return start + rows, int(offsets[rows] - offsets[0]) * size

    def read(self, start: int, stop: int) -> Ragged:
        """Rows `start` to `stop`."""
        return self.held[start:stop]

    def texts(self, start: int, stop: int) -> Texts:
        """The same as texts, which they have to be."""
        return Texts.of(self.held[start:stop])


def map_array(
    file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], *, offset: int = 0, fortran: bool = False
) -> tuple[NDArray[Any], Callable[[], None]]:
    """The array that begins at `offset` of a file, mapped read-only, and what gives its pages back once in a while."""
    if not np.prod(shape):
        return np.empty(shape, dtype), lambda: None
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=mapped, offset=offset, order="F" if fortran else "C")
    asked = count(1)

    def release() -> None:
        if next(asked) % SELDOM == 0:
            mapped.madvise(mmap.MADV_DONTNEED)

    return array, release
