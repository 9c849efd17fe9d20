"""Finds rows whose items are equal, and which rows have to stay on one side of the splits. Knows no file.

A row is known by eight bytes, the hash of its content; that two of ten million different rows have the same one happens
once in four hundred thousand such datasets.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.ingest.splits import TEST, TRAIN, VALIDATION, Places

Hashes = NDArray[np.int64]
Mask = NDArray[np.bool_]
MIX = np.int64(-7046029254386353131)
"""2^64 over the golden ratio, as the sequence of parts must count."""


def hash_rows(columns: Sequence[Sequence[bytes | str]]) -> Hashes:
    """One number for every row [n] of columns of equal length."""
    found = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        found = found * MIX + np.fromiter(map(hash, column), np.int64, len(column))
    return found


def repeated(hashes: Hashes, keep: Mask) -> Mask:
    """The kept rows that are equal to an earlier one."""
    rows = np.flatnonzero(keep)
    _, first = np.unique(hashes[rows], return_index=True)
    found = keep.copy()
    found[rows[first]] = False
    return found


def sets(hashes: Hashes | None, groups: NDArray[np.int32] | None, keep: Mask) -> NDArray[np.int64] | None:
    """For every row the number of the set that has to stay together, -1 for rows that are alone; None without any.

    Equal rows belong together, and rows of one group; sets that share a row are one.
    """
    if groups is not None:
        numbers = groups.astype(np.int64)
        if hashes is not None:
            numbers = _merge(hashes, numbers, keep)
        return np.where(keep, numbers, -1)
    if hashes is None:
        return None
    rows = np.flatnonzero(keep)
    _, which, sizes = np.unique(hashes[rows], return_inverse=True, return_counts=True)
    numbers = np.full(len(keep), -1, np.int64)
    several = sizes[which] > 1
    if not several.any():
        return None
    numbers[rows[several]] = which[several]
    return numbers


def across(hashes: Hashes, places: Places) -> Mask:
    """Rows of train that stand in validation or test too, and rows of validation that stand in test."""
    found = np.zeros(len(places), np.bool_)
    for inner, outer in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        rows = np.flatnonzero(places == inner)
        found[rows] = np.isin(hashes[rows], hashes[np.isin(places, outer)])
    return found


def _merge(hashes: Hashes, groups: NDArray[np.int64], keep: Mask) -> NDArray[np.int64]:
    """Groups that share a row as one. Rows without a group get one of their own, by their hash."""
    rows = np.flatnonzero(keep)
    order = rows[np.argsort(hashes[rows], kind="stable")]
    same = hashes[order[1:]] == hashes[order[:-1]]
    numbers = groups.copy()
    lost = np.flatnonzero(keep & (groups < 0))
    _, own = np.unique(hashes[lost], return_inverse=True)
    numbers[lost] = own + int(groups.max(initial=-1)) + 1
    pairs = np.stack([numbers[order[:-1]][same], numbers[order[1:]][same]], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    parent = np.arange(int(numbers.max(initial=-1)) + 1)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    for one, other in pairs.tolist():
        parent[root(one)] = root(other)
    roots = np.array([root(number) for number in range(len(parent))], np.int64)
    return np.where(numbers >= 0, roots[numbers], -1)
