"""Scores a network on the validation split of a dataset, or of several. Knows no schedule and keeps no weights."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from app.errors import NonFiniteLoss
from app.ml.objectives.base import Comparison, Objective
from app.ml.tensors.batch import Batch
from worker.data.loader import Loader, rows_at_once
from worker.training_run import Run

VALIDATION_ROWS, EMBEDDED_ROWS = 20_000, 256


class Scorer:
    """Gives a network's scores on held-out rows."""

    rows: int
    domains: Mapping[str, dict[str, float]] = MappingProxyType({})
    """Of several datasets: the last score of each, by its id."""

    @abstractmethod
    def score(self, network: Objective) -> dict[str, float]:
        """The mean `loss`, the means of its parts, and the objective's metrics; empty where there are no rows.

        Raises NonFiniteLoss when the loss is not a number.
        """

    @abstractmethod
    def embeddings(self, network: Objective) -> Tensor:
        """Embeddings [N, E] of some rows; [0, 0] where there are no rows or the network does not embed."""


def scorer_for(run: Run) -> Scorer:
    """A scorer on the validation rows of all the run's datasets."""
    objective, batch_size = run.spec.objective, run.spec.training.batch_size
    if not objective.scores_vocabulary:
        batch_size = max(batch_size, rows_at_once(run.fitted[objective.request_role].shape.count))
    views = [run.within(domain) for domain in run.domains]
    parts = {view.domains[0].id: SplitScorer(view, view.loader("validation", batch_size)) for view in views}
    return MixtureScorer(run, parts) if len(parts) > 1 else next(iter(parts.values()))


class MixtureScorer(Scorer):
    """Several datasets: the mean of their scores, weighted by their shares of what the training draws."""

    def __init__(self, run: Run, parts: Mapping[str, "SplitScorer"]) -> None:
        self._parts = {name: part for name, part in parts.items() if part.rows}
        self._shares = {domain.id: domain.share for domain in run.domains}
        self.rows = sum(part.rows for part in parts.values())

    def score(self, network: Objective) -> dict[str, float]:
        self.domains = {name: part.score(network) for name, part in self._parts.items()}
        total = sum(self._shares[name] for name in self.domains)
        means: dict[str, float] = {}
        for domain, values in self.domains.items():
            for name, value in values.items():
                means[name] = means.get(name, 0.0) + self._shares[domain] / total * value
        return means

    def embeddings(self, network: Objective) -> Tensor:
        found = [part.embeddings(network) for part in self._parts.values()] or [torch.empty(0, 0)]
        return torch.cat([rows[: -(-EMBEDDED_ROWS // len(found))] for rows in found])


class SplitScorer(Scorer):
    """One validation split, encoded once and kept in memory where it fits into `run.window_bytes`."""

    def __init__(self, run: Run, loader: Loader) -> None:
        self.run, self.loader, self.rows = run, loader, loader.rows
        self._kept: list[Batch] | None = None

    def score(self, network: Objective) -> dict[str, float]:
        """Over at most `VALIDATION_ROWS` rows, in one pass."""
        if not self.rows:
            return {}
        network.eval()
        sums: dict[str, float] = {"loss": 0.0}
        count = 0

        def scored() -> Iterator[Batch]:
            nonlocal count
            for batch in self._batches():
                moved = self.run.compare(batch.to(self.run.device))
                for part in [moved] if isinstance(network, Comparison) else moved.parts(1, network.places_at_once):
                    loss = network.loss(part)
                    count += loss.count
                    for name, value in {"loss": loss.sum, **loss.parts}.items():
                        sums[name] = sums.get(name, 0.0) + float(value)
                    yield part

        with torch.inference_mode(), self.run.autocast():
            batches = scored()
            metrics = network.validation_metrics(batches)
            for _ in batches:  # whatever the metrics had no use for
                pass
        network.train()
        means = {name: value / max(1, count) for name, value in sums.items()}
        if not torch.tensor(means["loss"]).isfinite():
            raise NonFiniteLoss(f"the validation loss became {means['loss']}; try a smaller learning_rate")
        return means | metrics

    @torch.inference_mode()
    def embeddings(self, network: Objective) -> Tensor:
        """Of up to `EMBEDDED_ROWS` rows."""
        if "embed" not in self.run.spec.objective.abilities or not self.rows:
            return torch.empty(0, 0)
        batch = next(self._batches())
        asked = batch.to(self.run.device).roles[self.run.spec.objective.request_role]
        inputs = {name: tensor[:EMBEDDED_ROWS] for name, tensor in asked.items()}
        network.eval()
        with self.run.autocast():
            rows: Tensor = network.embed(inputs)  # type: ignore[operator]
        network.train()
        return rows.float().cpu()

    def _batches(self) -> Iterator[Batch]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[Batch] | None = []
        size = 0
        for batch in self.loader.in_order(VALIDATION_ROWS):
            size += sum(t.numel() * t.element_size() for role in batch.roles.values() for t in role.values())
            if kept is not None:
                kept = [*kept, batch] if size <= self.run.window_bytes else None
            yield batch
        self._kept = kept
