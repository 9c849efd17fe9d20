"""Shows what an augmentation does to some rows of a stored dataset. Knows no request and no job."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import Wire
from app.dataset import Dataset, open_dataset
from app.dataset_options import SplitName
from app.errors import DoesNotFit, OutOfRange
from app.ml.augmentations.base import Augmentation
from app.ml.jobs.network import MODALITY
from app.ml.jobs.train import AugmentationChoice
from app.ml.modalities.base import Fitted
from app.ml.modalities.boxes import Boxes
from app.ml.modalities.classes import Classes
from app.ml.plugins import find
from app.ml.resolving import augmenting
from app.ml.tensors.shapes import AnyColumn
from app.ragged import Ragged
from app.registry.tables import StoredObject
from app.storage import Storage

FITTED_ROWS = 2000
COMPARED = 2
"""Views of a row that the objectives compare for which `auto` augments."""


class AugmentationTrial(BaseModel):
    """What is to be tried on which rows."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    augmentation: AugmentationChoice
    """As in a job; `auto` alone is what objectives that compare views take."""
    count: int = Field(8, ge=1, le=64)
    """Rows, drawn by `seed`."""
    versions: int = Field(3, ge=1, le=16)
    """Changed versions of each row."""
    split: SplitName = "train"
    seed: int = Field(0, ge=0, le=2**31 - 1)
    """Of a job: its epochs change these rows in the same way."""


class AugmentedRow(Wire):
    """A row and changed versions of it; roles are keys, items are shown as the modality shows its answers."""

    id: str
    """Place in the split, from 0."""
    original: dict[str, Any]
    """As a network sees it that is not training: pictures and recordings as `data:` URIs."""
    augmented: list[dict[str, Any]]
    """One per epoch, from 0 on."""


class AugmentedRows(Wire):
    """What an augmentation does."""

    object: Literal["dataset.augmentation"] = "dataset.augmentation"
    augmentation: dict[str, Any]
    """What was tried, with the values that differ from doing nothing."""
    data: list[AugmentedRow]
    """The rows."""


def try_on_rows(
    storage: Storage, held: Mapping[str, Sequence[StoredObject]], trial: AugmentationTrial
) -> dict[str, Any]:
    """The body of `AugmentedRows`. Raises subclasses of Invalid."""
    dataset = open_dataset({name: storage.local(parts[0]) for name, parts in held.items()})
    rows = dataset.splits[trial.split].rows
    if rows == 0:
        raise OutOfRange(f"split {trial.split!r} of the dataset has no rows", param="split")
    fitted = _fitted(dataset, trial.split)
    inputs = {role: part for role, part in fitted.items() if role != "target"}
    if not inputs:
        raise DoesNotFit("the dataset has no inputs that can be augmented", param="augmentation")
    names, shape = [part.settings.name for part in inputs.values()], next(iter(inputs.values())).shape
    augmentation, _ = augmenting.choose(trial.augmentation, names, shape, COMPARED)
    augmentation.check({role: part.shape.layout for role, part in fitted.items()})
    chosen = np.sort(np.random.default_rng(trial.seed).choice(rows, min(trial.count, rows), replace=False)).tolist()
    columns = {role: _column(dataset, trial.split, role, chosen) for role in fitted}
    found = augmenting.preview(augmentation, columns, fitted, chosen, seed=trial.seed, versions=trial.versions)
    data = [{"id": str(place), **row} for place, row in zip(chosen, found, strict=True)]
    return {"augmentation": augmenting.shown(augmentation), "data": data}


def _fitted(dataset: Dataset, split: SplitName) -> dict[str, Fitted]:
    """The modalities of what can be augmented, and of a target that changes with it, where every row has one."""
    augmented = find("augmentations", Augmentation)
    fitted: dict[str, Fitted] = {}
    for role, name in dataset.splits["train"].modalities.items():
        facts = dataset.profile[role]
        if role != "target" and name in augmented:
            fitted[role] = MODALITY.validate_python({"name": name}).completed(facts).fit(_beginning(dataset, role))
        elif role == "target" and name == "classes" and dataset.splits[split].present(role).all():
            fitted[role] = Classes().fit([np.array(sorted(facts["classes"]), dtype=object)])
        elif role == "target" and name == "boxes":
            fitted[role] = Boxes().completed(facts).fit(_beginning(dataset, role))
    return fitted


def _beginning(dataset: Dataset, role: str) -> Iterator[Any]:
    """The first FITTED_ROWS of the training split."""
    train, left = dataset.splits["train"], FITTED_ROWS
    for batch, size in enumerate(train.sizes):
        if left > 0:
            yield train.read(role, batch)[:left]
        left -= size


def _column(dataset: Dataset, split: SplitName, role: str, rows: Sequence[int]) -> AnyColumn:
    """The raw items of `rows`, which rise."""
    opened = dataset.splits[split]
    bounds = np.cumsum([0, *opened.sizes])
    parts = []
    for batch, (first, end) in enumerate(itertools.pairwise(bounds)):
        inside = np.array([row - first for row in rows if first <= row < end], np.int64)
        if len(inside):
            parts.append(opened.read(role, batch)[inside])
    if isinstance(parts[0], Ragged):
        return Ragged.of([part.row(row) for part in parts for row in range(len(part))])
    return np.concatenate(parts)
