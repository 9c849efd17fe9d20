"""Sums by key over more entries than memory holds. Knows no meaning of a key."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.int64]
Weights = NDArray[np.float32]

PENDING = 8_000_000
"""Entries that wait to be merged."""
BITS = 6
"""Of an entry's weight, which shares a number with its key: numbers are sorted far faster than their order is found."""


class Tally:
    """Sums by key. Beyond `most` keys the smallest sums are forgotten, as in lossy counting (Manku & Motwani 2002)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.forgotten = 0.0
        """The largest sum that a forgotten key may have had."""
        self._keys: Keys = np.zeros(0, np.int64)
        self._sums: Weights = np.zeros(0, np.float32)
        self._pending: list[Keys] = []
        self._waiting = 0

    def add(self, keys: Keys, weight: int = 1) -> None:
        """`keys` [T] in any order, from 0 to 2^57 - 1; each counts `weight`, from 1 to 63."""
        self._pending.append(keys << BITS | weight)
        self._waiting += len(keys)
        if self._waiting > max(PENDING, len(self._keys) // 2):
            self._merge()

    def result(self) -> tuple[Keys, Weights]:
        """All keys, ascending, and their sums."""
        self._merge()
        return self._keys, self._sums

    def _merge(self) -> None:
        if not self._pending:
            return
        entries = np.concatenate(self._pending)
        self._pending, self._waiting = [], 0
        entries.sort()
        keys, sums = _summed(entries >> BITS, entries & (1 << BITS) - 1)
        if len(self._keys):
            keys, sums = np.concatenate([self._keys, keys]), np.concatenate([self._sums, sums])
            order = np.argsort(keys, kind="stable")  # which merges two sorted runs
            keys, sums = _summed(keys[order], sums[order])
        if len(keys) > self.most:
            bound = np.partition(sums, len(sums) - self.most // 2)[len(sums) - self.most // 2]
            self.forgotten += float(bound)
            keys, sums = keys[sums > bound], sums[sums > bound]
        self._keys, self._sums = keys, sums


def _summed(keys: Keys, weights: NDArray[np.int64] | Weights) -> tuple[Keys, Weights]:
    """Different keys and the sums of their weights, from ascending `keys` [T]."""
    if len(keys) == 0:
        return keys, np.zeros(0, np.float32)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(weights, first).astype(np.float32)
