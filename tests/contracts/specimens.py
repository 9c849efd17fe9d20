"""Sample data for every layout and a small network for every pair of plug-ins that fit each other."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import RoleSpec
from app.ml.modalities.base import Fitted, Modality
from app.ml.objectives.base import Objective, ObjectiveSettings, Role
from app.ml.plugins import find
from app.ml.resolving.fit import check_fit
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import AnyColumn
from app.ragged import Ragged
from tests.seeds import seed as sow

ROWS = 6


def plugins(folder: str, base: type[Any]) -> list[Any]:
    """Every plug-in of a folder with its default settings, and the smallest network where there are several."""
    found = find(folder, base).values()
    return [plugin(preset="nano") if "preset" in plugin.model_fields else plugin() for plugin in found]


def _audio(random: np.random.Generator, rows: int) -> AnyColumn:
    """56 ms and more."""
    offsets = np.concatenate([[0], np.cumsum(900 + 60 * np.arange(rows))])
    return Ragged(random.normal(0, 3000, offsets[-1]).astype(np.int16), offsets)


def _speech(random: np.random.Generator, rows: int) -> AnyColumn:
    """0.4 s and more: enough for the texts."""
    offsets = np.concatenate([[0], np.cumsum(6400 + 60 * np.arange(rows))])
    return Ragged(random.normal(0, 3000, offsets[-1]).astype(np.int16), offsets)


def _boxes(random: np.random.Generator, rows: int) -> AnyColumn:
    """0 to 3 in a picture; class, x0, y0, x1, y1."""
    counts = [(row + 1) % 4 for row in range(rows)]
    corners = [np.sort(random.uniform(0, 10, (n, 2, 2)), axis=1).reshape(n, 4) for n in counts]
    classes = [random.integers(0, 3, (n, 1)) for n in counts]
    return Ragged.of([np.hstack(pair).astype(np.float32) for pair in zip(classes, corners, strict=True)])


def _classes(random: np.random.Generator, rows: int) -> AnyColumn:
    return np.array([("9", "10", "11")[row % 3] for row in range(rows)], dtype=object)


def _image(random: np.random.Generator, rows: int) -> AnyColumn:
    """Noise of which every picture is brighter than the one before: something can be told of it."""
    noise = random.integers(0, 256, (rows, 10, 12, 3))
    return (noise * np.linspace(0.3, 1, rows)[:, None, None, None]).astype(np.uint8)


def _numbers(random: np.random.Generator, rows: int) -> AnyColumn:
    return (random.normal(size=rows) * 20 + 300).astype(np.float32)


def _tags(random: np.random.Generator, rows: int) -> AnyColumn:
    """Every second row has one, the others two."""
    return Ragged.of([np.arange(row % 2, 2, dtype=np.int32) for row in range(rows)])


def _text(random: np.random.Generator, rows: int) -> AnyColumn:
    words = ["a", "rose", "is", "Größe"]
    return np.array([" ".join(words[: row % 4 + 1] + ["so"] * (row // 4)) for row in range(rows)], dtype=object)


def _vectors(random: np.random.Generator, rows: int) -> AnyColumn:
    return (random.normal(size=(rows, 10)) * 3 + 1).astype(np.float32)


RAW: dict[str, Callable[[np.random.Generator, int], AnyColumn]] = {
    "audio": _audio,
    "boxes": _boxes,
    "classes": _classes,
    "image": _image,
    "numbers": _numbers,
    "spectrogram": _speech,
    "tags": _tags,
    "text": _text,
    "vectors": _vectors,
}
"""Raw rows for every modality, by its name: for a new one, add some here."""
FACTS: dict[str, dict[str, Any]] = {
    "boxes": {"labels": ["cat", "dog", "owl"], "picture": [10, 12]},
    "tags": {"labels": ["wet", "cold", "dark"]},
}
"""What the profile says of a role, where its modality needs that."""
AGAIN = frozenset({"audio"})
"""Modalities whose layout is another one's, too."""
ALONG = frozenset({"autoencoding", "contrastive"})
"""Objectives that see `cnn` on vectors: to all others it is a network like any that reads them."""


def column(modality: Modality, rows: int = ROWS) -> AnyColumn:
    """Raw rows as a dataset gives them: read-only, since they are memory-mapped there."""
    sample = RAW[modality.name](np.random.default_rng(0), rows)
    (sample.values if isinstance(sample, Ragged) else sample).flags.writeable = False
    return sample


@functools.cache
def fit(modality: Modality) -> Fitted:
    completed = modality.completed(FACTS[modality.name]) if modality.name in FACTS else modality
    return completed.fit([column(modality), column(modality)])


@dataclass(frozen=True)
class Pair:
    """An objective, an encoder and the modalities of the objective's roles; `dimensions` as a client may ask."""

    objective: ObjectiveSettings
    encoder: EncoderSettings
    modalities: dict[str, Modality]
    dimensions: int | None

    def __str__(self) -> str:
        inputs = "-".join(modality.name for modality in self.modalities.values())
        return f"{self.objective.name}-{self.encoder.name}-{inputs}-{self.dimensions}"

    def build(self, seed: int = 0) -> Objective:
        sow(seed)
        roles: dict[str, Role] = {}
        for role, needs in self.objective.roles.items():
            fitted = fit(self.modalities[role])
            encoder = self.encoder.build(fitted.shape) if needs.encoded else None
            roles[role] = Role(fitted, encoder, self.dimensions if needs.encoded else None)
        return self.objective.build(roles)

    def batch(self, rows: int = ROWS, seed: int = 0) -> Batch:
        encoded = {role: fit(modality).encode(column(modality, rows)) for role, modality in self.modalities.items()}
        return Batch(encoded, torch.arange(rows), seed)


@functools.cache
def pairs(*, solved: bool = False) -> Sequence[Pair]:
    """Every objective that is stepped (or solved) with every encoder and input modality that fit it.

    Networks see layouts, not modalities: `AGAIN` goes through the objective's default encoder alone. So do embeddings
    of the features' own width.
    """
    return list(_pairs(solved=solved))


def _pairs(*, solved: bool) -> Iterator[Pair]:
    for objective in plugins("objectives", ObjectiveSettings):
        needs = next(needs for needs in objective.roles.values() if needs.encoded)
        for encoder in plugins("encoders", EncoderSettings):
            if objective.solved != solved or not needs.capabilities <= encoder.capabilities:
                continue
            for modality in plugins("modalities", Modality):
                if modality.layout in encoder.accepts and modality.layout in needs.layouts:
                    usual = encoder.name == objective.default_encoder(fit(modality).shape, 1000)[0]
                    if modality.name in AGAIN and not usual:
                        continue
                    if (encoder.name, modality.layout) == ("cnn", "vector") and objective.name not in ALONG:
                        continue
                    modalities = {role: _modality(objective, role, modality) for role in objective.roles}
                    check_fit(objective, {role: _spec(objective, role, m, encoder) for role, m in modalities.items()})
                    yield Pair(objective, encoder, modalities, 5)
                    if usual:
                        yield Pair(objective, encoder, modalities, None)


def _modality(objective: ObjectiveSettings, role: str, asked: Modality) -> Modality:
    """The asked one for encoded roles, for others the first that fits."""
    needs = objective.roles[role]
    if needs.encoded:
        return asked
    fitting: Modality = next(m for m in plugins("modalities", Modality) if m.layout in needs.layouts)
    return fitting


def _spec(objective: ObjectiveSettings, role: str, modality: Modality, encoder: EncoderSettings) -> RoleSpec:
    return RoleSpec(modality=modality, encoder=encoder if objective.roles[role].encoded else None)
