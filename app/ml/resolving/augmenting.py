"""Which augmentation a job uses, and what it does to some rows, for a person to look at. Knows no network."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.nn.functional import one_hot

from app.errors import DoesNotFit
from app.ml.augmentations.base import Augmentation, augment
from app.ml.jobs.train import AnyAugmentation
from app.ml.modalities.base import Fitted
from app.ml.plugins import Auto, complete, find
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.shapes import AnyColumn, Shape

AUGMENTATION: TypeAdapter[Augmentation] = TypeAdapter(AnyAugmentation)


def choose(
    asked: Augmentation | Auto,
    inputs: Sequence[str],
    shape: Shape,
    views: int,
    changes: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[Augmentation, str]:
    """The augmentation for inputs of these modalities, the first of them of `shape`, and why it is that one.

    `changes` are what the objective sets of each where nobody else does. Raises subclasses of Invalid.
    """
    found = find("augmentations", Augmentation)
    reason = "as asked"
    if isinstance(asked, Auto):
        own = next((name for name in inputs if name in found), "none")
        usual, reason = found[own].usual(shape, views)
        if asked.given():
            asked, reason = complete(AUGMENTATION, own, asked.given(), "augmentation"), "the modality of the inputs"
        elif own in changes:
            asked, reason = complete(AUGMENTATION, own, changes[own], "augmentation"), "the objective's usual changes"
        else:
            asked = usual or complete(AUGMENTATION, "none", {}, "augmentation")
    if asked.name not in ("none", *inputs):
        fitting = [repr(name) for name in dict.fromkeys(inputs) if name in found]
        raise DoesNotFit(
            f"augmentation {asked.name!r} does not fit: the inputs are {' and '.join(map(repr, inputs))}; "
            f"{' or '.join([*fitting, repr('none')])} does",
            param="augmentation",
        )
    return asked, reason


def shown(augmentation: Augmentation) -> dict[str, Any]:
    """The name, and what is set beside it."""
    return {"name": augmentation.name, **augmentation.model_dump(mode="json", exclude_defaults=True)}


def preview(
    augmentation: Augmentation,
    columns: Mapping[str, AnyColumn],
    fitted: Mapping[str, Fitted],
    rows: Sequence[int],
    *,
    seed: int,
    versions: int,
) -> list[dict[str, Any]]:
    """Per row `{"original": {role: …}, "augmented": [{role: …}, …]}`, as the modalities render it.

    `columns` are raw and hold these `rows`, positions in their split; the versions are those of the epochs from 0 on.
    """
    encoded = {role: fitted[role].encode(column) for role, column in columns.items()}
    places = torch.tensor(rows, dtype=torch.int64)
    epochs = [
        augment(augmentation, Batch(encoded, places, epoch=epoch), fitted, seed=seed).roles for epoch in range(versions)
    ]
    original, *changed = [_rendered(roles, fitted) for roles in (encoded, *epochs)]
    return [{"original": first, "augmented": list(others)} for first, *others in zip(original, *changed, strict=True)]


def _rendered(roles: Roles, fitted: Mapping[str, Fitted]) -> list[dict[str, Any]]:
    answers = {}
    for role, tensors in roles.items():
        values = tensors["values"]
        if fitted[role].shape.layout == "classes":
            values = tensors.get("weights", one_hot(values, fitted[role].shape.count))
        answers[role] = fitted[role].render(values, binary=True)
    return [dict(zip(answers, row, strict=True)) for row in zip(*answers.values(), strict=True)]
