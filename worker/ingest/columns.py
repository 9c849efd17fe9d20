"""Decides which column plays what, from what was asked and from the columns themselves, and says how it decided.

Knows names, types and shapes; reads no row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from app.dataset_options import Columns, DatasetOptions
from worker.ingest.faults import Faults, shown
from worker.ingest.source import Head

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "classes", "y")
"""The first of these that is there is the label; `y` comes last, since it may as well stand beside an `x`."""
SPLIT_NAME = "split"
FEW = 1000
"""A text column with more different values among its first rows is no label by itself."""
OVERRIDE = "give modality and columns.features, columns.image, columns.label or columns.split to decide otherwise"


@dataclass
class Plan:
    """What plays what."""

    features: list[str] = field(default_factory=list)
    label: str | None = None
    split: str | None = None
    image: bool = False
    shape: list[int] = field(default_factory=list)
    """Of an item: [W], or [H, W, C]."""
    scaled: bool = False
    """True when pictures were scaled to that shape."""
    ignored: list[str] = field(default_factory=list)
    inferred: dict[str, Any] = field(default_factory=dict)


def plan_columns(heads: Sequence[Head], options: DatasetOptions, faults: Faults) -> Plan:
    """The plan for these columns; when one is impossible a fault says why, and the plan is not to be used."""
    known = {head.name: head for head in heads}
    asked = options.columns
    features = [asked.features] if isinstance(asked.features, str) else list(asked.features or [])
    if asked.image is not None:
        features = [asked.image]
    for name in [*features, asked.label, asked.split]:
        if name is not None and name not in known:
            there = ", ".join(map(repr, known)) or "none"
            faults.add("unknown_column", f"there is no column {name!r}; there are {there}", column=name)
    plan = Plan(features, asked.label, asked.split)
    for name in (asked.label, asked.split):
        if name in known and name is not None and not known[name].is_plain:
            shape = list(known[name].shape)
            faults.add("unsupported_shape", f"{name!r} has {shape} per row; a label is one value per row", column=name)
    if faults.total:
        return plan
    left = {name: head for name, head in known.items() if name not in (*features, asked.label, asked.split)}
    if plan.split is None and options.split is None and SPLIT_NAME in left and not left[SPLIT_NAME].is_number:
        plan.split = left.pop(SPLIT_NAME).name
        plan.inferred["split"] = "the text column named 'split'"
    arrays = [head for head in left.values() if not head.is_plain and head.is_number]
    if plan.label is None:
        head = _find_label(plan, left, has_input=bool(features or arrays), faults=faults)
        if head is not None:
            plan.label = left.pop(head.name).name
    if not plan.features:
        _find_features(plan, left, arrays, faults)
    plan.ignored = [name for name in left if name not in plan.features]
    if plan.features and not faults.total:
        _find_shape(plan, known, options, faults)
    for name in (*plan.features, plan.label, plan.split):
        if name in known and known[name].note:
            plan.inferred[name] = known[name].note
    if plan.ignored:
        plan.inferred["ignored"] = plan.ignored
    if plan.inferred:
        plan.inferred["override"] = OVERRIDE
    return plan


def follow(plan: Plan, heads: Sequence[Head], options: DatasetOptions, faults: Faults) -> Plan:
    """A plan for the files of another split: by the same names if they are there, else by content alone."""
    known = {head.name: head for head in heads}
    modality = "image" if plan.image else "vectors"
    if not set(plan.features) <= known.keys():
        again = plan_columns(heads, options.model_copy(update={"columns": Columns(), "modality": modality}), faults)
    else:
        again = Plan(plan.features, plan.label if plan.label in known else None)
        _find_shape(again, known, options.model_copy(update={"modality": modality}), faults)
    if not faults.total and again.shape != plan.shape:
        faults.add("shapes_differ", f"{again.features} gives items of {again.shape}, {plan.features} of {plan.shape}")
    return again


def _find_label(plan: Plan, left: dict[str, Head], *, has_input: bool, faults: Faults) -> Head | None:
    plain = [head for head in left.values() if head.is_plain and head.name != SPLIT_NAME]
    by_name = {head.name.casefold(): head for head in plain}
    for name in LABEL_NAMES:
        if name in by_name:
            plan.inferred["label"] = f"{by_name[name].name!r}, by its name"
            return by_name[name]
    texts = [head for head in plain if head.origin == "table" and not head.is_number and _is_few(head)]
    if len(texts) == 1:
        plan.inferred["label"] = f"{texts[0].name!r}, the only text column with few distinct values"
        return texts[0]
    if not has_input:
        return None
    beside = [head for head in plain if head.origin == "array" or len(plain) == 1]
    for kinds in ("biuSU", "f"):  # whole numbers and strings first; floats hold a NaN where a label is withheld
        fitting = [head for head in beside if head.dtype.kind in kinds]
        if len(fitting) > 1:
            names = ", ".join(repr(head.name) for head in fitting)
            faults.add("ambiguous_columns", f"each of {names} could be the label; name one in columns.label")
            return None
        if fitting:
            plan.inferred["label"] = f"{fitting[0].name!r}, one value per row beside the input"
            return fitting[0]
    return None


def _is_few(head: Head) -> bool:
    return head.distinct <= min(FEW, max(1, head.sampled // 2))


def _find_features(plan: Plan, left: dict[str, Head], arrays: list[Head], faults: Faults) -> None:
    if len(arrays) > 1:
        names = ", ".join(repr(head.name) for head in arrays)
        faults.add(
            "ambiguous_columns", f"each of {names} could be the input; name one in columns.features or columns.image"
        )
        return
    if arrays:
        plan.features = [arrays[0].name]
        plan.inferred["features"] = f"{arrays[0].name!r}, the only array with more than one value per row"
        return
    plan.features = [name for name, head in left.items() if head.is_number and name]
    if plan.features:
        plan.inferred["features"] = f"the {len(plan.features)} columns of numbers"
    else:
        there = ", ".join(f"{name!r} ({head.dtype})" for name, head in left.items()) or "none"
        faults.add("no_input", f"no column can be the input; apart from label and split there are: {there}")


def _find_shape(plan: Plan, known: dict[str, Head], options: DatasetOptions, faults: Faults) -> None:
    heads = [known[name] for name in plan.features]
    for head in heads:
        if head.origin == "array" and not head.is_number:
            faults.add("not_a_number", f"{head.name!r} holds {head.dtype}, which is no number", column=head.name)
    first = heads[0]
    pictures = len(heads) == 1 and len(first.shape) in (2, 3)
    asked = "image" if options.columns.image is not None else options.modality
    plan.image = asked == "image" or (asked == "auto" and pictures)
    if asked == "auto":
        kind = "image" if plan.image else "vectors"
        plan.inferred["modality"] = (
            f"{kind}: {first.name!r} has {list(first.shape) or 'one value'} of {first.dtype} per row"
        )
    if not plan.image:
        plan.shape = [sum(prod(head.shape) for head in heads)]
        return
    height, width, channels = (*first.shape, 1)[:3] if pictures else (0, 0, 0)
    plan.shape, plan.scaled = [height, width, channels], first.scaled
    if channels not in (1, 3):
        faults.add(
            "unsupported_shape",
            f"{shown(plan.features)} of shape {list(first.shape)} per row is no image; "
            "give [height, width] or [height, width, 1 or 3], or ask for modality vectors",
            column=first.name,
        )
