"""Finds rows whose items are equal, and which rows have to stay on one side of the splits. Knows no file.

A row is known by eight bytes, the hash of its content; that two of ten million different rows have the same one happens
once in four hundred thousand such datasets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.splits import TEST, TRAIN, VALIDATION, Places

Hashes = NDArray[np.int64]
Mask = NDArray[np.bool_]
CHUNK = 1 << 20
MIX = np.int64(-7046029254386353131)
"""2^64 over the golden ratio, as the sequence of parts must count."""


def hash_rows(columns: Sequence[Sequence[bytes | str]]) -> Hashes:
    """One number for every row [n] of columns of equal length."""
    found = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        found = found * MIX + np.fromiter(map(hash, column), np.int64, len(column))
    return found


def row_bytes(rows: NDArray[Any]) -> Sequence[bytes]:
    """Rows [n, W] as bytes, each equal for equal numbers."""
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # minus zero becomes zero
    found: Sequence[bytes] = np.ascontiguousarray(rows).view(f"V{rows.shape[1] * rows.itemsize}").ravel().tolist()
    return found


def repeated(hashes: Hashes, keep: Mask) -> Mask:
    """The kept rows that are equal to an earlier one."""
    numbers = _doubles(hashes, keep)
    found = numbers >= 0
    rows = np.flatnonzero(found)
    _, first = np.unique(numbers[rows], return_index=True)
    found[rows[first]] = False
    return found


def sets(hashes: Hashes | None, groups: NDArray[np.int32] | None, keep: Mask) -> NDArray[np.int32] | None:
    """For every row the number of the set that has to stay together, -1 for rows that are alone; None without any.

    Equal rows belong together, and rows of one group; sets that share a row are one.
    """
    if groups is not None:
        numbers = groups if hashes is None else _merge(hashes, groups, keep)
        return np.where(keep, numbers, np.int32(-1))
    doubles = _doubles(hashes, keep) if hashes is not None else None
    return doubles if doubles is not None and doubles.max(initial=-1) >= 0 else None


def _doubles(hashes: Hashes, keep: Mask) -> NDArray[np.int32]:
    """For every kept row that is not the only one of its hash, the number of that hash; -1 for all others."""
    ordered = hashes[keep]
    ordered.sort()
    several = _distinct(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    found = np.full(len(keep), -1, np.int32)
    if len(several):
        for start in range(0, len(keep), CHUNK):
            part = hashes[start : start + CHUNK]
            place = np.minimum(np.searchsorted(several, part), len(several) - 1)
            found[start : start + CHUNK] = np.where(several[place] == part, place, -1)
        found[~keep] = -1
    return found


def across(hashes: Hashes, places: Places) -> Mask:
    """Rows of train that stand in validation or test too, and rows of validation that stand in test."""
    found = np.zeros(len(places), np.bool_)
    for inner, outer in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        there = np.sort(hashes[np.isin(places, outer)])
        for start in range(0, len(places), CHUNK):
            part = slice(start, start + CHUNK)
            found[part] |= among(hashes[part], there) & (places[part] == inner)
    return found


def among(hashes: Hashes, ordered: Hashes) -> Mask:
    """Which of `hashes` stand in `ordered`, which ascends."""
    if not len(ordered):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
    return np.asarray(ordered[places] == hashes, np.bool_)


def _distinct(ordered: Hashes) -> Hashes:
    """Each of the ascending values once; np.unique would hash them, which takes many times as long."""
    return ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))]


def _merge(hashes: Hashes, groups: NDArray[np.int32], keep: Mask) -> NDArray[np.int32]:
    """Groups that share a row as one. Rows without a group get one of their own, or their double's."""
    doubles = _doubles(hashes, keep)
    numbers = groups.copy()
    lost = np.flatnonzero(keep & (groups < 0) & (doubles >= 0))
    numbers[lost] = doubles[lost] + int(groups.max(initial=-1)) + 1
    rows = np.flatnonzero(doubles >= 0)
    order = rows[np.argsort(doubles[rows], kind="stable")]
    same = doubles[order[1:]] == doubles[order[:-1]]
    pairs = np.stack([numbers[order[:-1]][same], numbers[order[1:]][same]], axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    parent = np.arange(int(numbers.max(initial=-1)) + 1, dtype=np.int32)

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number

    for one, other in pairs.tolist():
        parent[root(one)] = root(other)
    roots = np.array([root(number) for number in range(len(parent))] or [-1], np.int32)
    return np.where(numbers >= 0, roots[numbers], np.int32(-1))
