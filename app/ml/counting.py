"""Sums by key over more entries than memory holds. Knows no meaning of a key."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Weights = NDArray[np.float32]

PENDING = 4_000_000
"""Entries that wait to be merged."""


class Tally:
    """Sums by key. Beyond `most` keys the smallest sums are forgotten, as in lossy counting (Manku & Motwani 2002)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.forgotten = 0.0
        """The largest sum that a forgotten key may have had."""
        self._keys: Keys = np.zeros(0, np.int64)
        self._sums: Weights = np.zeros(0, np.float32)
        self._pending: list[tuple[Keys, Weights]] = []
        self._waiting = 0

    def add(self, keys: Keys, weights: Weights) -> None:
        """`keys` [T] in any order, at least 0."""
        keys, sums = summed(keys, weights)
        self._pending.append((keys, sums))
        self._waiting += len(keys)
        if self._waiting > max(PENDING, len(self._keys) // 2):
            self._merge()

    def result(self) -> tuple[Keys, Weights]:
        """All keys, ascending, and their sums."""
        self._merge()
        return self._keys, self._sums

    def _merge(self) -> None:
        parts = [(self._keys, self._sums), *self._pending]
        self._pending, self._waiting = [], 0
        self._keys, self._sums = summed(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        if len(self._keys) > self.most:
            bound = np.partition(self._sums, len(self._sums) - self.most // 2)[len(self._sums) - self.most // 2]
            kept = self._sums > bound
            self.forgotten += float(bound)
            self._keys, self._sums = self._keys[kept], self._sums[kept]


def summed(keys: Keys, weights: Weights) -> tuple[Keys, Weights]:
    """Different keys, ascending, and the sums of their weights."""
    if len(keys) == 0:
        return keys, weights
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(weights[order], first, dtype=np.float32)
