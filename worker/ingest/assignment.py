"""Assigns every row that stays to a split, and says which rows cannot stay because of the others. Reads no value."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import SPLITS, DatasetOptions, Fractions
from worker.ingest.archives.folders import split_name
from worker.ingest.faults import Fault, Faults, counted, shown
from worker.ingest.groups import Group
from worker.ingest.splitting import duplicates, splits
from worker.ingest.splitting.splits import Places

Mask = NDArray[np.bool_]


@dataclass
class Rows:
    """What is known of every row once all were judged."""

    keep: Mask
    classes: NDArray[np.int32]
    """By which splits are stratified; -1 where there is no label."""
    groups: NDArray[np.int32] | None
    doubles: duplicates.Numbers
    """The number of its hash, of every row that shares it; -1 of all others."""
    repeated: int = 0
    """Rows that are equal to an earlier one."""
    crossing: int = 0
    """Rows that are equal to one of another split, where duplicates are kept."""
    drawn_together: int = 0
    """Those of the repeated rows that follow an equal one to its split, as these were drawn."""


def leave_out_repeated(groups: Sequence[Group], rows: Rows, options: DatasetOptions, faults: Faults) -> None:
    """Counts the rows that are equal to earlier ones, and leaves them out where that was asked for."""
    repeated = duplicates.repeated(rows.doubles)
    rows.repeated = int(repeated.sum())
    if options.cleaning.duplicates == "drop":
        _leave_out(groups, repeated, "duplicate", "equals an earlier row", faults)
        rows.keep &= ~repeated
        rows.doubles[:] = -1


def assign(groups: Sequence[Group], rows: Rows, options: DatasetOptions, faults: Faults) -> Places:
    """Places for all rows. Raises Refused when the splits cannot be made."""
    first, keep = groups[0], rows.keep
    doubles = None if options.cleaning.duplicates == "keep" else rows.doubles
    fractions = options.split if isinstance(options.split, Fractions) else splits.DEFAULT
    together = duplicates.sets(doubles, rows.groups, keep)
    if together is not None and np.bincount(together[together >= 0]).max(initial=0) > keep.sum() / 2:
        together = rows.groups  # nearly all rows are one and the same
    if first.place is not None or first.plan.split is not None:
        places = np.where(keep, _given(groups, keep, faults), np.int8(splits.OUT))
        if doubles is not None:
            crossing = duplicates.across(doubles, places)
            _leave_out(groups, crossing, "duplicate_across_splits", "stands in validation or test, too", faults)
            places[crossing] = splits.OUT
    else:
        places = splits.draw(rows.classes, fractions, keep, together)
        rows.drawn_together = rows.repeated if doubles is not None and together is not rows.groups else 0
    places = splits.with_validation(places, rows.classes, fractions.seed, together)
    rows.crossing = int(duplicates.across(rows.doubles, places).sum())
    sizes = {split: int(np.count_nonzero(places == place)) for place, split in enumerate(SPLITS)}
    if not sizes["train"] or not sizes["validation"]:
        faults.add(
            "too_few_rows",
            f"train has {counted(sizes['train'], 'row')} and validation {sizes['validation']}; each needs at least 1"
            f"{_because(faults)}",
        )
    faults.stop_here()
    return places


def _because(faults: Faults) -> str:
    """What was left out, most first."""
    reasons = (f"{counted(number, 'row')} left out: {code}" for code, number in faults.dropped.most_common())
    return "".join(f"; {reason}" for reason in reasons)


def _given(groups: Sequence[Group], keep: Mask, faults: Faults) -> Places:
    """Places as files or a column say."""
    first = groups[0]
    if first.place is not None:
        return np.concatenate([np.full(group.table.rows, group.place, np.int8) for group in groups])
    assert first.plan.split is not None
    given = first.table.names[first.plan.split]
    places, unknown = splits.from_names([split_name(name) for name in given.names], given.codes)

    def word(row: np.int64) -> Fault:
        value = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
        problem = f"{shown(value)} is no split; give {', '.join(SPLITS)}"
        return first.table.origin(int(row), str(first.plan.split)).fault("unknown_split", problem)

    faults.each("unknown_split", unknown[keep[unknown]], word, dropped=faults.drops)
    return places


def _leave_out(groups: Sequence[Group], rows: Mask, code: str, problem: str, faults: Faults) -> None:
    """Lists rows of the whole source as left out."""

    def word(place: np.int64) -> Fault:
        row = int(place)
        for group in groups:
            if row < group.table.rows:
                break
            row -= group.table.rows
        column = next(iter(group.plan.parts.values())).columns[0]
        return replace(group.table.origin(row, column), column=None).fault(code, problem)

    faults.each(code, np.flatnonzero(rows), word, dropped=True)
