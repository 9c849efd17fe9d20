"""The plan for the files of a further split, which must come to the same as that of the first. Reads no row."""

from collections.abc import Sequence

from app.dataset_options import Columns, DatasetOptions
from worker.ingest.faults import Faults, some
from worker.ingest.planning.columns import plan_columns, take_shapes
from worker.ingest.planning.plan import INPUTS, Part, Plan
from worker.ingest.source import Head

EITHER = ("classes", "numbers")
"""Targets that can be read of the same columns."""


def follow(plan: Plan, heads: Sequence[Head], options: DatasetOptions, faults: Faults) -> Plan:
    """A plan for the files of another split: by the same names if they are there, else by content alone."""
    known = {head.name: head for head in heads}
    first = next(iter(plan.parts.values()))
    inputs = {name for role, part in plan.parts.items() if not _is_withheld(part, role) for name in part.columns}
    if inputs <= known.keys():
        parts = {role: part for role, part in plan.parts.items() if known.keys() >= set(part.columns)}
        copies = {
            role: Part(part.modality, part.columns, part.categories, about=part.about) for role, part in parts.items()
        }
        again = Plan(copies, group=plan.group if plan.group in known else None)
        take_shapes(again, known, options, faults)
        return again
    alone = options.model_copy(update={"columns": Columns(), "modality": first.modality})
    again = plan_columns(heads, alone, faults)
    told, asked = again.parts.get("target"), plan.parts.get("target")
    if told is not None and asked is not None and told.modality in EITHER and asked.modality in EITHER:
        told.modality = asked.modality
    return again


def agree(plan: Plan, again: Plan, called: str, others: str, faults: Faults) -> None:
    """Adds a fault where the plan `again` for the files `called` is not that of `others`."""
    needed = [role for role, part in plan.parts.items() if not _is_withheld(part, role) and role != "caption"]
    if any(role not in again.parts for role in needed) or any(
        _read(part, role) != _read(plan.parts[role], role) for role, part in again.parts.items() if role in plan.parts
    ):
        faults.add(
            "columns_differ",
            f"{called} gives {_in_words(again)}, {others} {_in_words(plan)}; "
            f"all splits need the same: call the columns alike{_lacking(plan, again, called)}",
        )
        return
    for role, part in again.parts.items():
        if role in plan.parts and part.shape != plan.parts[role].shape:
            other = plan.parts[role]
            message = f"{some(part.columns)} of {called} gives items of {part.shape}, "
            message += f"{some(other.columns)} of {others} of {other.shape}{_lacking(plan, again, called)}"
            faults.add("shapes_differ", message)


def _is_withheld(part: Part, role: str) -> bool:
    """Whether files may lack this role altogether: labels of a test split are often secret."""
    return role == "target" and part.modality in ("classes", "numbers", "tags", "boxes")


def _lacking(plan: Plan, again: Plan, called: str) -> str:
    """What to do where the files lack a single one of the input's columns: that is mostly what they were kept for."""
    there = {*again.used(), *again.ignored}
    inputs = [name for role in INPUTS if role in plan.parts for name in plan.parts[role].columns]
    match [name for name in inputs if name not in there]:
        case [name] if len(inputs) > 1:
            return f"; name {name!r}, which {called} lacks, in columns.label or columns.value if it is to be predicted"
    return ""


def _read(part: Part, role: str) -> tuple[str, list[int]]:
    """The modality, and which of the columns hold names, where all splits need as many."""
    return part.modality, [place for place, name in enumerate(part.columns) if name in part.categories]


def _in_words(plan: Plan) -> str:
    parts = []
    for role, part in plan.parts.items():
        names = f", with names in {some(part.categories)}" if part.categories else ""
        parts.append(f"{role} ({part.modality}: {some(part.columns)}{names})")
    return " and ".join(parts)
