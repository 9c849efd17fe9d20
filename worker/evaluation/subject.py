"""What is evaluated: a network, and a dataset of which rows are read within bounds and answered in chunks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.dataset import Dataset
from app.ml.jobs.network import NetworkSpec
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.tensors.padding import joined
from app.ml.tensors.parts import answered
from app.ml.tensors.shapes import Tensors
from worker.data.loader import Loader, rows_at_once
from worker.evaluation.words import WordTests

MOST_BYTES = 256 * 2**20
"""Encoded rows that are held at once."""
MOST_WORK = 2_000_000_000_000
"""Multiplications that embedding the training rows may cost: about a minute on two cores."""
USES = 64
"""How often each weight of a network is used on a grid, about."""
FEWEST_ROWS = 500


@dataclass(frozen=True)
class Subject:
    """A network and the dataset on whose held-out rows it is evaluated."""

    spec: NetworkSpec
    network: Objective
    fitted: Mapping[str, Fitted]
    dataset: Dataset
    seed: int
    window_bytes: int
    words: WordTests | None = None
    """Word pairs and analogies for models of texts, where a job names some."""
    tick: Callable[[], None] = lambda: None
    """Called between two parts of the work; may raise."""

    def loader(self, split: str, roles: Mapping[str, Fitted]) -> Loader:
        rows = rows_at_once(self.fitted[self.spec.objective.request_role].shape.count)
        return Loader(
            self.dataset.splits[split], roles, batch_size=rows, seed=self.seed, window_bytes=self.window_bytes
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a split, encoded, and their class numbers [N] where labels were asked for. Told apart by identity."""

    inputs: Tensors
    labels: Tensor

    @property
    def flat(self) -> Tensor:
        """[N, W]"""
        return self.inputs["values"].flatten(1).float()

    def first(self, count: int) -> "Rows":
        return Rows({name: tensor[:count] for name, tensor in self.inputs.items()}, self.labels[:count])


def read_rows(subject: Subject, split: str, limit: int, target: Fitted | None = None) -> Rows:
    """At most `limit` rows of a split; with `target`, labelled ones only."""
    asked = subject.spec.objective.request_role
    fitted = subject.fitted[asked]
    weights = sum(parameter.numel() for parameter in subject.network.encoders.parameters())
    uses = {"tokens": fitted.shape.size[0], "grid": USES}.get(fitted.shape.layout, 1)
    limit = min(limit, max(FEWEST_ROWS, min(MOST_BYTES // (8 * fitted.shape.count), MOST_WORK // (weights * uses + 1))))
    roles = {asked: fitted} | ({"target": target} if target is not None else {})
    batches = list(subject.loader(split, roles).in_order(limit))
    inputs = joined([batch.roles[asked] for batch in batches])
    labels = torch.cat([b.roles["target"]["values"] if target is not None else b.rows for b in batches])
    return Rows(inputs, labels)


def answer(network: Objective, ability: str, inputs: Tensors) -> Tensor:
    """An ability's answers [N, …]."""
    return answered(getattr(network, ability), inputs).float()
