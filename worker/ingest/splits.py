"""Assigns rows to train, validation and test: drawn by seed and stratified by class, or as a column or files say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import SPLITS, Fractions

TRAIN, VALIDATION, TEST = range(len(SPLITS))
OUT = -1
"""Of a row that is in no split: it was cleaned away."""
DEFAULT = Fractions(train=0.8, validation=0.1, test=0.1, seed=0)
DRAWN_VALIDATION = 0.1
Places = NDArray[np.int8]


def draw(classes: NDArray[np.int32], fractions: Fractions, keep: NDArray[np.bool_]) -> Places:
    """Places for all rows by shares; `classes` are positions, -1 where the label is withheld."""
    places = np.where(keep, TRAIN, OUT).astype(np.int8)
    total = int(keep.sum())
    _take(places, classes, VALIDATION, fractions.validation, total, fractions.seed)  # first: no training without it
    _take(places, classes, TEST, fractions.test, total, fractions.seed)
    return places


def with_validation(places: Places, classes: NDArray[np.int32], seed: int = 0) -> Places:
    """The same, and a tenth of train as validation where there is none."""
    if not (places == VALIDATION).any():
        places = places.copy()
        _take(places, classes, VALIDATION, DRAWN_VALIDATION, int((places == TRAIN).sum()), seed)
    return places


def from_names(names: Sequence[str], codes: NDArray[np.int32]) -> tuple[Places, NDArray[np.int64]]:
    """Places as a column says, and the rows that have another value than a split's name."""
    table = np.array([SPLITS.index(name) if name in SPLITS else OUT for name in names] + [OUT], dtype=np.int8)
    places = table[codes]
    return places, np.flatnonzero(places == OUT)


def _take(places: Places, classes: NDArray[np.int32], place: int, share: float, total: int, seed: int) -> None:
    """Moves `share` of `total` rows from train to `place`: within one row of that share of every class.

    At least one row moves when any should, and at least one stays.
    """
    rows = np.flatnonzero(places == TRAIN)
    count = min(max(round(share * total), 1 if share else 0), len(rows) - 1)
    if count <= 0:
        return
    order = np.lexsort((np.random.default_rng([seed, place]).random(len(rows)), classes[rows]))
    steps = (np.arange(len(rows) + 1) * count + len(rows) // 2) // len(rows)  # evenly along the classes
    places[rows[order[np.diff(steps) > 0]]] = place
