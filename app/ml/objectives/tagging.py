"""Learns which tags a row has, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `N` rows, `K` tags.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from app.ml.modalities.tags import CHOSEN
from app.ml.objectives.base import Role, RoleNeeds
from app.ml.objectives.parts.supervised import Headed, SupervisedSettings
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.shapes import Tensors


class Tagging(SupervisedSettings):
    """Tell which tags a row has: any number of them."""

    name: Literal["tagging"] = "tagging"
    """Tell which tags a row has."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True),
        "target": RoleNeeds(frozenset({"tags"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "predict"})

    def build(self, roles: Mapping[str, Role]) -> "Tagger":
        return Tagger(self, roles["input"], roles["target"])


class Tagger(Headed):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: Tagging, role: Role, target: Role) -> None:
        super().__init__(settings, role, target.modality.shape.count)
        self.averaged = target.modality.shape.count

    def predict(self, inputs: Tensors) -> Tensor:
        """Probabilities [B, K], each tag by itself."""
        return self.scores(inputs).sigmoid()

    def loss_of(self, scores: Tensor, target: Tensors) -> Loss:
        """Sum over the rows of the mean of their tags' cross-entropies, and the number of rows."""
        total = binary_cross_entropy_with_logits(scores, target["values"], reduction="none").mean(1).sum()
        return Loss(total, len(scores))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`average_precision`, the mean over the tags that some row has, and `f1` over all tags at once."""
        pairs = [(self.predict(batch.roles["input"]), batch.roles["target"]["values"]) for batch in batches]
        return _metrics(torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs]))

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`frequency`: every tag as likely as it is among the training rows, for every row."""
        shares = torch.cat([batch.roles["target"]["values"] for batch in train]).mean(0)
        wanted = torch.cat([batch.roles["target"]["values"] for batch in test])
        return {"frequency": _metrics(shares.expand_as(wanted), wanted)}


def _metrics(scores: Tensor, tags: Tensor) -> dict[str, float]:
    """Of probabilities and truth [N, K]."""
    shown = tags.sum(0) > 0
    precisions = [_average_precision(scores[:, k], tags[:, k]) for k in shown.nonzero().flatten().tolist()]
    chosen = (scores >= CHOSEN).float()
    hits, total = (chosen * tags).sum(), chosen.sum() + tags.sum()
    return {
        "average_precision": sum(precisions) / max(1, len(precisions)),
        "f1": (2 * hits / total).item() if total > 0 else 0.0,
    }


def _average_precision(scores: Tensor, wanted: Tensor) -> float:
    """Mean of the precisions at every rank at which recall grows, [N] each; equal scores share one rank."""
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], wanted[order].cumsum(0)
    last = torch.cat([ranked[1:] != ranked[:-1], torch.ones(1, dtype=torch.bool, device=ranked.device)])
    hits, ranks = hits[last], (torch.arange(len(order), device=ranked.device) + 1)[last]
    gained = torch.diff(hits, prepend=hits.new_zeros(1))
    return ((hits / ranks) * gained).sum().item() / wanted.sum().item()
