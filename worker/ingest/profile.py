"""Describes a dataset: columns, splits, classes, what was inferred and cleaned, and what may surprise. Reads no row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from worker.ingest.columns import Plan
from worker.ingest.source import Coded, Head
from worker.ingest.splits import OUT, TRAIN, Places
from worker.ingest.statistics import Moments

MANY = 0.5
"""Share of the labelled rows from which on so many classes look like something else."""
NAMED = 5


def describe(
    plan: Plan,
    heads: Sequence[Head],
    segments: Sequence[tuple[str, str, int]],
    moments: Moments,
    missing: NDArray[np.int64],
    label: Coded,
    places: Places,
) -> dict[str, Any]:
    """The profile as it is stored with the dataset and shown to its owner."""
    kept = places != OUT
    columns, constant = _numbers(segments, moments, missing)
    target = _target(plan, label, places)
    types = {head.name: str(head.dtype) for head in heads}
    if plan.label is not None:
        gone = int((label.codes[kept] < 0).sum())
        columns.append(_other(plan.label, "label", types, missing=gone) | {"distinct": len(label.names)})
    if plan.split is not None:
        columns.append(_other(plan.split, "split", types, missing=0))
    columns += [_other(name, "ignored", types, missing=None) for name in plan.ignored]
    dropped = int((~kept).sum())
    return {
        "modality": "image" if plan.image else "vectors",
        "rows": int(kept.sum()),
        "splits": {split: int((places == number).sum()) for number, split in enumerate(SPLITS)},
        "input": {
            "name": plan.features[0] if len(plan.features) == 1 else "features",
            "modality": "image" if plan.image else "vectors",
            "shape": plan.shape,
            **({"scaled": plan.scaled} if plan.image else {}),
        },
        "target": target,
        "columns": columns,
        "cleaning": {"dropped_rows": dropped, "reason": "non_finite"} if dropped else {},
        "warnings": _warnings(plan, constant, target, dropped),
        "inferred": plan.inferred,
    }


def _numbers(
    segments: Sequence[tuple[str, str, int]], moments: Moments, missing: NDArray[np.int64]
) -> tuple[list[dict[str, Any]], list[str]]:
    columns, constant, start = [], [], 0
    for name, kind, width in segments:
        part = moments.part(start, start + width)
        whole = part.whole() if width > 1 else part
        column = {"name": name, "plays": "features", "type": kind if width == 1 else f"{kind}[{width}]"}
        columns.append(column | {"missing": int(missing[start : start + width].sum())} | whole.described(0))
        if whole.low[0] == whole.high[0]:
            constant.append(name)
        start += width
    return columns, constant


def _other(name: str, plays: str, types: dict[str, str], *, missing: int | None) -> dict[str, Any]:
    nothing = dict.fromkeys(("min", "max", "mean", "std"))
    return {"name": name, "plays": plays, "type": types.get(name), "missing": missing} | nothing


def _target(plan: Plan, label: Coded, places: Places) -> dict[str, Any] | None:
    if plan.label is None or not label.names:
        return None

    def count(rows: NDArray[np.bool_]) -> dict[str, int]:
        codes = label.codes[rows]
        numbers = np.bincount(codes[codes >= 0], minlength=len(label.names))
        return {name: int(number) for name, number in zip(label.names, numbers, strict=True)}

    kept = places != OUT
    return {
        "name": plan.label,
        "modality": "classes",
        "classes": count(kept),
        "missing": int((label.codes[kept] < 0).sum()),
        "splits": {split: count(places == number) for number, split in enumerate(SPLITS)},
    }


def _warnings(plan: Plan, constant: list[str], target: dict[str, Any] | None, dropped: int) -> list[str]:
    found = []
    if constant:
        found.append(f"{len(constant)} columns have the same value in every row: {_some(constant)}")
    if dropped:
        found.append(f"{dropped:,} rows were left out because a feature was empty, NaN or infinite")
    if plan.label is not None and target is None:
        found.append(f"every label in {plan.label!r} is withheld; the dataset has no target")
    if target is not None:
        labelled = sum(target["classes"].values())
        if len(target["classes"]) > max(2, MANY * labelled):
            found.append(
                f"{plan.label!r} has {len(target['classes']):,} classes for {labelled:,} labelled rows; is it a label?"
            )
        unseen = [name for name, number in target["splits"][SPLITS[TRAIN]].items() if number == 0]
        if unseen:
            found.append(f"no labelled row of the split train has the classes {_some(unseen)}")
    return found


def _some(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:NAMED]))
    return f"{listed} and {len(names) - NAMED:,} more" if len(names) > NAMED else listed
