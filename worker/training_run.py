"""A training with all its parts at hand: its data, as steps draw them and as evaluation reads them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from app.dataset import Dataset
from app.ml import artifact
from app.ml.augmentations.base import augment
from app.ml.jobs.train import TrainSpec
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.tensors.batch import Batch
from app.ml.tensors.equal_items import first_equal
from app.registry.tables import Version
from worker import checkpoint
from worker.data.domains import Domain
from worker.data.loader import Loader
from worker.data.mixture import Mixture
from worker.evaluation.subject import Subject
from worker.evaluation.words import WordTests
from worker.step.devices import Devices

ROWS_TO_BEGIN_WITH = 20_000


@dataclass
class Run:
    """A training with all its parts at hand."""

    spec: TrainSpec
    dataset: Dataset
    """All rows: of several datasets, joined."""
    fitted: dict[str, Fitted]
    network: Objective
    device: torch.device
    position: checkpoint.Position
    window_bytes: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """Of the checkpoint it resumes from; empty at the beginning."""
    sources: list[dict[str, Any]] = field(default_factory=list)
    """Id, fingerprint and share of the datasets, for the lineage."""
    base: Version | None = None
    base_model: artifact.Artifact | None = None
    """What it goes on from, where it does: not a base that only lends its encoder to another objective."""
    devices: Devices = field(default_factory=Devices)
    domains: list[Domain] = field(default_factory=list)
    """The datasets by themselves."""
    words: WordTests | None = None
    """Judgements of words that the job names."""
    product: int = 0
    """Multiplications of a matrix product of a step, in the mean, where a processor computes them."""

    def within(self, domain: Domain) -> "Run":
        """The same training, looked at on the rows of one dataset."""
        window = self.window_bytes // len(self.domains)
        return replace(self, dataset=domain.dataset, domains=[domain], window_bytes=window, words=None)

    @property
    def subject(self) -> Subject:
        """Its network and its dataset, to be evaluated."""
        seed = self.spec.training.seed
        return Subject(self.spec, self.network, self.fitted, self.dataset, seed, self.window_bytes, self.words)

    def training_batches(self, batch_size: int) -> Loader | Mixture:
        """The batches of all datasets, in the order and the shares in which steps take them."""
        if len(self.domains) == 1:
            return self.loader("train", batch_size)
        loaders = [self.within(domain).loader("train", batch_size) for domain in self.domains]
        return Mixture(loaders, [domain.share for domain in self.domains], seed=self.spec.training.seed)

    def loader(self, split: str, batch_size: int) -> Loader:
        roles = {role: self.fitted[role] for role in self.spec.roles}
        return Loader(
            self.dataset.splits[split],
            roles,
            batch_size=batch_size,
            seed=self.spec.training.seed,
            window_bytes=self.window_bytes,
            groups_by_length=self.spec.objective.groups_by_length,
        )

    def some_rows(self, most: int | None = None) -> Iterator[Batch]:
        """Training rows of all datasets, as many of each, from which weights are computed before the first step."""
        rows = min(most or ROWS_TO_BEGIN_WITH, ROWS_TO_BEGIN_WITH)
        for domain in self.domains:
            loader = self.within(domain).loader("train", self.spec.training.batch_size)
            yield from loader.in_order(max(1, rows // len(self.domains)))

    def augment(self, batch: Batch) -> Batch:
        """The batch as a step of training sees it, on the run's device."""
        spec = self.spec
        if spec.objective.tells_equals:  # asked while the items still are where they were read
            batch = replace(batch, equals={role: first_equal(batch.roles[role]) for role in batch.roles})
        return augment(
            spec.augmentation, batch.to(self.device), self.fitted, seed=spec.training.seed, views=spec.objective.views
        )

    def compare(self, batch: Batch) -> Batch:
        """A batch of held-out rows as they are, with the views that the objective compares, if it compares any."""
        return self.augment(batch) if self.spec.objective.views > 1 else batch

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """bf16 where that was asked for or chosen."""
        if not self.position.bf16:  # entering torch's context costs more than a small layer
            yield
            return
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            yield
