"""Describes a dataset: columns, splits, classes, what was inferred and cleaned, and what may surprise. Reads no row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.dataset_options import SPLITS
from worker.ingest.assignment import Rows
from worker.ingest.faults import Faults, counted, shown, some
from worker.ingest.kinds.base import Kind
from worker.ingest.planning.names import is_date, is_numbering
from worker.ingest.planning.plan import Plan
from worker.ingest.source import Head
from worker.ingest.splitting.splits import OUT, Places

DATES = (
    "dates are no numbers here: add columns with what matters of them, such as the days since a day, the month or "
    "the weekday"
)


def describe(
    plan: Plan, heads: Sequence[Head], made: Mapping[str, Kind], places: Places, faults: Faults, rows: Rows
) -> dict[str, Any]:
    """The profile as it is stored with the dataset and shown to its owner."""
    types = {head.name: head.ragged or ("text" if head.is_text else str(head.dtype)) for head in heads}
    nothing = dict.fromkeys(("min", "max", "mean", "std"))
    columns = [column for kind in made.values() for column in kind.columns()]
    for plays, names in (("split", [plan.split]), ("group", [plan.group]), ("ignored", plan.ignored)):
        for name in names:
            if name is not None:
                missing = None if plays == "ignored" else 0
                columns.append({"name": name, "plays": plays, "type": types[name], "missing": missing, **nothing})
    changed = {code: number for kind in made.values() for code, number in kind.changed.items() if number}
    warnings = [warning for kind in made.values() for warning in kind.warnings(places)]
    warnings += _unused(plan, heads)
    if rows.crossing:
        warnings.append(
            f"{counted(rows.crossing, 'row')} with an equal one in another split; cleaning.duplicates can see to that"
        )
    warnings += [f"{counted(number, 'row')} left out: {code}" for code, number in sorted(faults.dropped.items())]
    return {
        "modality": plan.modality,
        "rows": int(np.count_nonzero(places != OUT)),
        "splits": {split: int(np.count_nonzero(places == number)) for number, split in enumerate(SPLITS)},
        "target": None,
        **{role: kind.facts(places) for role, kind in made.items()},
        "columns": columns,
        "duplicates": rows.repeated,
        "cleaning": {"dropped_rows": faults.dropped.total(), "dropped": dict(faults.dropped), "changed": changed},
        "warnings": warnings,
        "inferred": plan.inferred,
    }


def _unused(plan: Plan, heads: Sequence[Head]) -> list[str]:
    """What a table of numbers has beside those, where nobody said which columns are its features."""
    if plan.modality != "vectors" or "features" not in plan.inferred:
        return []
    free = [head for head in heads if head.is_text and head.name in (*plan.ignored, *plan.parts["input"].columns)]
    dates = [head for head in free if is_date(head)]
    texts = [head.name for head in free if head.name in plan.ignored and head not in dates]
    found = [f"{head.name!r} holds dates like {shown(head.example)}, {_as_read(head, plan)}; {DATES}" for head in dates]
    if texts:
        found.append(
            f"not used, since they hold texts of many values: {some(texts)}; write numbers without units, "
            "and name columns of names in columns.features"
        )
    rest = [head for head in heads if head.name in plan.ignored and not (head.is_text or head.ragged or head.medium)]
    if beside := [head.name for head in rest if head.is_number and not is_numbering(head)]:
        array = plan.parts["input"].columns[0]
        found.append(f"not used, since {array!r} is an array: {some(beside)}; name all that count in columns.features")
    if others := [head.name for head in rest if not head.is_number]:
        found.append(
            f"not used, since they hold neither numbers nor texts: {some(others)}; write what matters of "
            "objects, and of lists that differ in length, into keys or columns of their own"
        )
    return found


def _as_read(head: Head, plan: Plan) -> str:
    return "which are not used" if head.name in plan.ignored else "each of which is a category of its own"
