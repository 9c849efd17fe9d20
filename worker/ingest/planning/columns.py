"""Decides which column plays what, from what was asked and from the columns themselves, and says how it decided.

Knows names, types and shapes; reads no row. What nobody asked for is guessed in `inference`.
"""

import difflib
import re
from collections.abc import Sequence
from math import prod

from app.dataset_options import Columns, DatasetOptions, Fractions
from worker.ingest.faults import Faults, shown, some
from worker.ingest.planning import inference
from worker.ingest.planning.plan import Part, Plan
from worker.ingest.source import Head

OVERRIDE = "give modality and columns (features, image, text, audio, label, value, split, group …) to decide otherwise"
CHANNELS = (1, 3)
LIKE_BOXES = re.compile(r"b?box(es)?|objects?|annotations?|[xy]_?min|left", re.IGNORECASE)
"""Names of columns in which people write boxes down."""
WRITTEN = "boxes are read from files of COCO, Pascal VOC, YOLO or CSV beside the pictures"
TEXTS = {
    "text": "input",
    "caption": "caption",
    "source": "source",
    "target": "target",
    "negative": "negative",
}
"""Keys of `columns` that name texts, and the roles that those play."""


def plan_columns(heads: Sequence[Head], options: DatasetOptions, faults: Faults) -> Plan:
    """The plan for these columns; when one is impossible a fault says why, and the plan is not to be used."""
    known = {head.name: head for head in heads}
    plan = Plan(split=options.columns.split, group=options.columns.group)
    _check_names(options.columns, known, faults)
    for step in (_take_asked, inference.complete, take_shapes):
        if faults.total:
            return plan
        step(plan, known, options, faults)
    used = dict.fromkeys(plan.used())
    plan.ignored = [name for name in known if name not in used]
    for name in used:
        if known[name].note:
            plan.inferred[name] = known[name].note
    if options.split is None or isinstance(options.split, Fractions):
        plan.likely_group = inference.likely_group(plan, known)
    if plan.ignored:
        plan.inferred["ignored"] = plan.ignored
    likely = [name for name in plan.ignored if LIKE_BOXES.fullmatch(name)]
    if likely and "input" in plan.parts and plan.modality == "image":
        plan.inferred["boxes"] = f"none, although there is {likely[0]!r}: {WRITTEN}"
    if plan.inferred:
        plan.inferred["override"] = OVERRIDE
    return plan


def _check_names(asked: Columns, known: dict[str, Head], faults: Faults) -> None:
    for key, value in asked.model_dump().items():
        for name in value if isinstance(value, list) else [] if value is None else [value]:
            if name not in known:
                faults.add("unknown_column", f"there is no column {name!r}{_instead(name, known)}", column=name)
            elif key in ("label", "value", "weight", "split", "group"):
                head = known[name]
                if not head.is_plain:
                    message = f"{name!r} has {list(head.shape)} per row; a {key} is one value per row"
                    faults.add("unsupported_shape", message, column=name)


def _instead(name: str, known: dict[str, Head]) -> str:
    """The column that was meant, and all that there are."""
    by_name = {each.casefold(): each for each in known}
    meant = difflib.get_close_matches(name.casefold(), by_name, n=1)
    there = ", ".join(map(repr, known)) or "none"
    return (f", did you mean {by_name[meant[0]]!r}? There" if meant else "; there") + f" are {there}"


def _take_asked(plan: Plan, known: dict[str, Head], options: DatasetOptions, faults: Faults) -> None:
    asked = options.columns
    features = [asked.features] if isinstance(asked.features, str) else list(asked.features or [])
    if features:
        pictures = options.modality == "image" or (
            options.modality == "auto" and inference.is_pictures(known, features)
        )
        plan.parts["input"] = Part("image", features) if pictures else inference.vectors(known, features)
    if asked.image is not None:
        plan.parts["input"] = Part("image", [asked.image])
    if asked.audio is not None:
        plan.parts["input"] = Part("audio", [asked.audio])
    for key, role in TEXTS.items():
        name = getattr(asked, key)
        if name is not None:
            plan.parts[role] = Part("text", [name])
    for role in ("left", "right"):
        name = getattr(asked, role)
        if name is not None:
            plan.parts[role] = Part(inference.modality(known[name]), [name])
    for key, kind in (("label", "classes"), ("value", "numbers"), ("tags", "tags"), ("boxes", "boxes")):
        name = getattr(asked, key)
        if name is not None:
            plan.parts["target"] = Part(kind, [name])
    if asked.weight is not None:
        plan.parts["weight"] = Part("numbers", [asked.weight])
    for part in plan.parts.values():
        for name in part.columns:
            _check_kind(name, part.modality, known[name], faults)


def _check_kind(name: str, modality: str, head: Head, faults: Faults) -> None:
    if modality in ("text", "classes") and (head.ragged or not head.is_plain):
        faults.add("unsupported_shape", f"{name!r} has {list(head.shape)} per row and cannot be a text", column=name)
    if modality == "audio" and head.ragged != modality:
        faults.add("unsupported_type", f"{name!r} holds {head.dtype}, which is no audio", column=name)
    if modality == "boxes" and head.ragged != modality:
        faults.add("unsupported_type", f"{name!r} is no column of boxes: {WRITTEN}", column=name)
    if modality in ("vectors", "numbers") and head.origin == "array" and not head.is_number:
        faults.add("not_a_number", f"{name!r} holds {head.dtype}, which is no number", column=name)


def take_shapes(plan: Plan, known: dict[str, Head], options: DatasetOptions, faults: Faults) -> None:
    for part in plan.parts.values():
        _take_shape(part, known, faults)
        if part.channels_first:
            height, width, channels = part.shape
            plan.inferred["channels"] = f"[{channels}, {height}, {width}] per row: the channels come first"


def _take_shape(part: Part, known: dict[str, Head], faults: Faults) -> None:
    heads = [known[name] for name in part.columns]
    first = heads[0]
    part.about |= first.about
    if part.modality == "vectors":
        part.shape = [sum(prod(head.shape) for head in heads)]
    elif part.modality == "image":
        pictures = len(heads) == 1 and len(first.shape) in (2, 3)
        height, width, channels = (*first.shape, 1)[:3] if pictures else (0, 0, 0)
        part.channels_first = height in CHANNELS and channels not in CHANNELS
        if part.channels_first:
            channels, height, width = height, width, channels
        part.shape, part.scaled = [height, width, channels], first.scaled
        if first.is_plain:
            there = some(part.columns) if first.origin == "table" else repr(first.name)
            faults.add(
                "unsupported_shape",
                f"{there}: one number per row is no picture; give pixels as one array [rows, height, width] in NPY, "
                "Parquet or JSON lines, or ask for modality vectors, which reads columns of numbers as they are",
                column=first.name,
            )
        elif channels not in CHANNELS:
            faults.add(
                "unsupported_shape",
                f"{shown(part.columns)} of shape {list(first.shape)} per row is no image; "
                "give [height, width], [height, width, 1 or 3] or [1 or 3, height, width], or ask for modality vectors",
                column=first.name,
            )
