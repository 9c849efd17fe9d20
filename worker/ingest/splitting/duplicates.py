"""Finds rows whose items are equal, and which rows have to stay on one side of the splits. Knows no file.

A row is known by eight bytes, the hash of its content; that two of ten million different rows have the same one happens
once in four hundred thousand such datasets.
"""

import numpy as np
from numpy.typing import NDArray

from worker.ingest.splitting.hashing import Hashes
from worker.ingest.splitting.splits import TEST, TRAIN, VALIDATION, Places

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int32]
CHUNK = 1 << 20


def number(hashes: Hashes, keep: Mask) -> Numbers:
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


def repeated(doubles: Numbers) -> Mask:
    """The rows that are equal to an earlier one."""
    found = doubles >= 0
    rows = np.flatnonzero(found)
    _, first = np.unique(doubles[rows], return_index=True)
    found[rows[first]] = False
    return found


def sets(doubles: Numbers | None, groups: Numbers | None, keep: Mask) -> Numbers | None:
    """For every row the number of the set that has to stay together, -1 for rows that are alone; None without any.

    Equal rows belong together, and rows of one group; sets that share a row are one.
    """
    if groups is not None:
        numbers = groups if doubles is None else _merge(doubles, groups, keep)
        return np.where(keep, numbers, np.int32(-1))
    return doubles if doubles is not None and doubles.max(initial=-1) >= 0 else None


def across(doubles: Numbers, places: Places) -> Mask:
    """Rows of train that stand in validation or test too, and rows of validation that stand in test."""
    found = np.zeros(len(places), np.bool_)
    if doubles.max(initial=-1) < 0:
        return found
    for inner, outer in ((TRAIN, (VALIDATION, TEST)), (VALIDATION, (TEST,))):
        there = np.zeros(int(doubles.max(initial=-1)) + 2, np.bool_)
        there[doubles[np.isin(places, outer)]] = True
        there[-1] = False  # where those of number -1 are found
        found |= there[doubles] & (places == inner)
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


def _merge(doubles: Numbers, groups: Numbers, keep: Mask) -> Numbers:
    """Groups that share a row as one. Rows without a group get one of their own, or their double's."""
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
