"""Assigns rows to train, validation and test: drawn by seed and stratified by class, or as a column or files say."""

from collections.abc import Collection, Iterator, Mapping, Sequence

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
    shares = {VALIDATION: fractions.validation, TEST: fractions.test}  # first: no training without validation
    _take(places, classes, together, shares, fractions.seed)
    return places


def with_validation(
    places: Places, classes: NDArray[np.int32], seed: int = 0, together: NDArray[np.int32] | None = None
) -> Places:
    """The same, and a tenth of train as validation where there is none."""
    if not (places == VALIDATION).any():
        places = places.copy()
        _take(places, classes, together, {VALIDATION: DRAWN_VALIDATION}, seed)
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
    shares: Mapping[int, float],
    seed: int,
) -> None:
    """Moves shares of the rows of train to other places: within one row of that share of every class.

    At least one row moves where any should, to the first place before all, and at least one stays. Sets of rows that
    belong together move as a whole, in random order, whenever more than half of one is due.
    """
    free = places == TRAIN
    total = left = int(np.count_nonzero(free))
    due: dict[int, int] = {}
    for place, share in shares.items():
        due[place] = max(0, min(max(round(share * total), 1 if share else 0), left - 1))
        left -= due[place]
    if together is not None:
        due = _take_together(places, free, together, due, seed)
        free &= together < 0
    if any(due.values()):
        _take_alone(places, free, classes, due, np.random.default_rng([seed, *due]))
    if together is not None:
        _bring_back(places, classes, together, due)


def _take_together(
    places: Places, free: NDArray[np.bool_], together: NDArray[np.int32], due: Mapping[int, int], seed: int
) -> dict[int, int]:
    """Moves whole sets of the free rows, and gives how many rows are due yet of those that are alone."""
    inside = free & (together >= 0)
    rows = int(np.count_nonzero(free))
    alone = rows - int(np.count_nonzero(inside))
    left: dict[int, int] = {}
    for place, count in due.items():
        sets = np.flatnonzero(inside & (places == TRAIN))
        moved = 0
        if count and len(sets):
            random = np.random.default_rng([seed, place])
            moved = _take_sets(places, sets, together[sets], place, count / rows, random)
        left[place] = max(count - moved, 0)
        rows -= count
    if not (inside & (places == TRAIN)).any():
        alone -= 1  # which stays
    for place, count in left.items():
        left[place] = max(0, min(count, alone))
        alone -= left[place]
    return left


def _take_alone(
    places: Places,
    free: NDArray[np.bool_],
    classes: NDArray[np.int32],
    due: Mapping[int, int],
    random: np.random.Generator,
) -> None:
    """Moves as many of the free rows as are due to every place, evenly from all classes, and leaves one of each.

    Nothing can be told of a class that training has not seen: what is due from the only row of one, another gives. Of a
    class, the rows with the least keys go to the first place, and the next ones to the second.
    """
    alone = _alone(classes, free)
    offered, taken = dict.fromkeys(due, int(np.count_nonzero(alone))), dict.fromkeys(due, 0)
    of = dict[int, int]()
    total = int(np.count_nonzero(free))
    for place, count in due.items():
        of[place] = max(1, total)
        total -= count
    for members in _by_class(classes, free & ~alone):
        left, here = len(members), dict[int, int]()
        stays = left > 1 and classes[members[0]] >= 0
        for place, count in due.items():
            offered[place] += left
            here[place] = min(_rounded(offered[place] * count, of[place]) - taken[place], left - stays)
            taken[place] += here[place]
            left -= here[place]
        moving = len(members) - left
        keys = random.random(len(members), dtype=np.float32)
        for place in reversed(here):
            if moving < len(members):
                nearest = least(keys, moving)
                members, keys = members[nearest], keys[nearest]
            places[members] = place
            moving -= here[place]


def _bring_back(
    places: Places, classes: NDArray[np.int32], together: NDArray[np.int32], taken: Collection[int]
) -> None:
    """Moves a set of every class that would have no row to learn from back to train, but for the last of a place."""
    learned = np.zeros(int(classes.max(initial=-1)) + 2, np.bool_)
    learned[classes[places == TRAIN]] = learned[-1] = True  # the last is where those of number -1 are found
    for place in taken:
        there = places == place
        lost = np.flatnonzero(there & ~learned[classes])
        if not len(lost):
            continue
        _, first = np.unique(classes[lost], return_index=True)
        numbers = np.unique(together[lost[first]])
        back = there & (together >= 0) & np.isin(together, numbers)
        if np.array_equal(back, there):
            back &= together != numbers[-1]
        places[back] = TRAIN
        learned[classes[back]] = True


def _alone(classes: NDArray[np.int32], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which free rows are the only ones of their class; none where all are."""
    rows = np.flatnonzero(free & (classes >= 0))
    found = np.zeros(len(classes), np.bool_)
    counts = np.bincount(classes[rows])
    if (counts > 1).any() and (counts == 1).any():
        found[rows[counts[classes[rows]] == 1]] = True
    return found


def _rounded(number: int, by: int) -> int:
    return (number + by // 2) // by


def least(keys: NDArray[np.float32], due: int) -> NDArray[np.int64]:
    """Positions of the `due` least of more keys between 0 and 1; of equal ones at the bound, the first."""
    share = due / len(keys)
    likely = np.flatnonzero(keys < share + 4 * np.sqrt(share / len(keys)))  # four deviations: seldom too few
    rows = likely if len(likely) > due else np.arange(len(keys))
    near = keys[rows]
    bound = np.partition(near, due)[due]
    lower, equal = rows[near < bound], rows[near == bound]
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
