"""Assigns rows to train, validation and test: drawn by seed and stratified by class, or as a column or files say."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import SPLITS, Fractions

TRAIN, VALIDATION, TEST = range(len(SPLITS))
OUT = -1
"""Of a row that is in no split: it was cleaned away."""
DEFAULT = Fractions(train=0.8, validation=0.1, test=0.1, seed=0)
DRAWN_VALIDATION = 0.1
FEW_CLASSES = 64
"""Classes up to which one look at all rows for each is better than sorting, which holds them twice."""
Places = NDArray[np.int8]


def draw(
    classes: NDArray[np.int32], fractions: Fractions, keep: NDArray[np.bool_], together: NDArray[np.int32] | None = None
) -> Places:
    """Places for all rows by shares.

    `classes` are positions, -1 where the label is withheld; rows of one number in `together` get one place, those of
    number -1 are alone.
    """
    places = np.where(keep, np.int8(TRAIN), np.int8(OUT))
    total = int(np.count_nonzero(keep))
    for place, share in ((VALIDATION, fractions.validation), (TEST, fractions.test)):
        _take(places, classes, together, place, share, total, fractions.seed)  # first: no training without validation
    return places


def with_validation(
    places: Places, classes: NDArray[np.int32], seed: int = 0, together: NDArray[np.int32] | None = None
) -> Places:
    """The same, and a tenth of train as validation where there is none."""
    if not (places == VALIDATION).any():
        places = places.copy()
        _take(places, classes, together, VALIDATION, DRAWN_VALIDATION, int((places == TRAIN).sum()), seed)
    return places


def from_names(names: Sequence[str], codes: NDArray[np.int32]) -> tuple[Places, NDArray[np.int64]]:
    """Places as a column says, and the rows that have another value than a split's name."""
    table = np.array([SPLITS.index(name) if name in SPLITS else OUT for name in names] + [OUT], dtype=np.int8)
    places = table[codes]
    return places, np.flatnonzero(places == OUT)


def _take(
    places: Places,
    classes: NDArray[np.int32],
    together: NDArray[np.int32] | None,
    place: int,
    share: float,
    total: int,
    seed: int,
) -> None:
    """Moves `share` of `total` rows from train to `place`: within one row of that share of every class.

    At least one row moves when any should, and at least one stays. Sets of rows that belong together move as a whole,
    in random order, whenever more than half of one is due.
    """
    free = places == TRAIN
    rows = int(np.count_nonzero(free))
    count = min(max(round(share * total), 1 if share else 0), rows - 1)
    if count <= 0:
        return
    random = np.random.default_rng([seed, place])
    if together is not None:
        inside = free & (together >= 0)
        sets = np.flatnonzero(inside)
        free &= ~inside
        if len(sets):
            moved = _take_sets(places, sets, together[sets], place, count / rows, random)
            count = min(max(count - moved, 0), rows - len(sets) - (len(sets) == moved))
    if count > 0:
        _take_alone(places, free, classes, place, count, random)


def _take_alone(
    places: Places,
    free: NDArray[np.bool_],
    classes: NDArray[np.int32],
    place: int,
    count: int,
    random: np.random.Generator,
) -> None:
    """Moves `count` of the free rows, evenly from all classes."""
    total, before = int(np.count_nonzero(free)), 0
    for members in _by_class(classes, free):
        after = before + len(members)
        due = (after * count + total // 2) // total - (before * count + total // 2) // total
        if due == len(members):
            places[members] = place
        elif due:
            places[members[least(random.random(len(members), dtype=np.float32), due)]] = place
        before = after


def least(keys: NDArray[np.float32], due: int) -> NDArray[np.int64]:
    """Positions of the `due` least of more keys between 0 and 1; of equal ones at the bound, the first."""
    share = due / len(keys)
    likely = np.flatnonzero(keys < share + 4 * np.sqrt(share / len(keys)))  # four deviations: seldom too few
    rows = likely if len(likely) > due else np.arange(len(keys))
    bound = np.partition(keys[rows], due)[due]
    lower, equal = rows[keys[rows] < bound], rows[keys[rows] == bound]
    return np.concatenate([lower, equal[: due - len(lower)]])


def _by_class(classes: NDArray[np.int32], free: NDArray[np.bool_]) -> Iterator[NDArray[np.int64]]:
    """The free rows of one class after the other; those without a class come first."""
    most = int(classes.max(initial=-1))
    if most < FEW_CLASSES:
        for number in range(-1, most + 1):
            members = np.flatnonzero(free & (classes == number))
            if len(members):
                yield members
        return
    rows = np.flatnonzero(free)
    order = rows[np.argsort(classes[rows], kind="stable")]
    yield from np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)


def _take_sets(
    places: Places,
    rows: NDArray[np.int64],
    numbers: NDArray[np.int32],
    place: int,
    share: float,
    random: np.random.Generator,
) -> int:
    """Moves whole sets until their share is reached as nearly as sets allow; returns the rows moved."""
    distinct, which, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    chosen = np.zeros(len(distinct), np.bool_)
    due = 0.0
    for number in random.permutation(len(distinct)).tolist():
        size = int(sizes[number])
        due += share * size
        if due >= size / 2:
            chosen[number] = True
            due -= size
    if not chosen.any() and len(distinct) > 1:
        chosen[int(np.argmin(sizes))] = True
    elif chosen.all():
        chosen[int(np.argmax(sizes))] = False
    places[rows[chosen[which]]] = place
    return int(sizes[chosen].sum())
