"""Learns to find the partner of an item among all others: pictures and captions, questions and answers, any pairs.

CLIP (Radford 2021) chooses among a batch's partners, SigLIP (Zhai 2023) judges every pair of the batch by itself. Where
an item stands in several pairs, as a picture with five captions does, a partner in one is no wrong choice in another:
such scores are left out (false negatives, which Huynh 2022 eliminates).
Legend: `B` batch, `N` pairs, `D` width of an encoder's features, `E` width of the embedding.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, logsigmoid, normalize

from app.errors import DoesNotFit
from app.ml.encoders.base import Encoders
from app.ml.networks.layers import linear
from app.ml.objectives.base import Comparison, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.contrastive import compared_training
from app.ml.objectives.parts.retrieval import Side, by_chance, identities, partners, ranks
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.equal_items import first_equal
from app.ml.tensors.shapes import Layout, Tensors

READS: frozenset[Layout] = frozenset({"vector", "grid", "tokens"})
STEEPEST = math.log(100.0)
"""Logarithm of the largest factor on a cosine: beyond it a training becomes unstable (Radford 2021)."""
FIRST = {"clip": (math.log(1 / 0.07), 0.0), "siglip": (math.log(10.0), -10.0)}
"""Logarithm of the first factor on a cosine, and what is first added, as published."""
NEAREST = (1, 5, 10)
EVALUATED = 2000
"""Pairs among which partners are looked for."""


class Alignment(ObjectiveSettings):
    """Bring the two sides of every pair together and keep them apart from those of other pairs."""

    name: Literal["alignment"] = "alignment"
    """Find an item's partner."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "left": RoleNeeds(READS, encoded=True),
        "right": RoleNeeds(READS, encoded=True),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    request_role: ClassVar[str] = "left"
    keeps_dimensions: ClassVar[bool] = True
    keeps_answers: ClassVar[bool] = True
    tells_equals: ClassVar[bool] = True

    loss: Literal["clip", "siglip"] = "clip"
    """`clip` chooses the partner among those of the batch, `siglip` judges every pair by itself."""
    shared: bool | None = None
    """One encoder for both sides. By default where both are of one modality and ask for the same encoder."""

    def shared_roles(self, parts: Mapping[str, Any], base: Mapping[str, Any]) -> Mapping[str, str]:
        left, right = parts["left"], parts["right"]
        alike = (left.modality, left.encoder, left.shape) == (right.modality, right.encoder, right.shape)
        if self.shared and not alike:
            raise DoesNotFit(
                "objective.shared: the two sides cannot share an encoder, since they differ in modality, shape or "
                "encoder; give roles.left and roles.right the same ones, or leave shared out",
                param="objective.shared",
            )
        return {"right": "left"} if alike and self.shared is not False else {}

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        return compared_training(data, batch=256)

    def build(self, roles: Mapping[str, Role]) -> "Aligned":
        return Aligned(self, roles["left"], roles["right"])


class Aligned(Comparison):
    """An encoder and a projection per side, or one for both; embeddings are what is compared."""

    sides: ClassVar[Mapping[str, str]] = {"left": "embed", "right": "embed_right"}

    def __init__(self, settings: Alignment, left: Role, right: Role) -> None:
        super().__init__()
        assert left.encoder is not None
        assert right.encoder is not None
        self.kind = settings.loss
        self.own = left.encoder is not right.encoder
        """True where the right side has an encoder of its own."""
        width = left.dimensions or left.encoder.width
        self.encoders = Encoders({"left": left.encoder})
        self.projections = nn.ModuleDict({"left": linear(left.encoder.width, width)})
        if self.own:
            self.encoders["right"] = right.encoder
            self.projections["right"] = linear(right.encoder.width, width)
        factor, offset = FIRST[settings.loss]
        self.factor = nn.Parameter(torch.tensor(factor))
        self.offset = nn.Parameter(torch.tensor(offset)) if settings.loss == "siglip" else None

    def embed(self, inputs: Tensors) -> Tensor:
        """Of items of the left side."""
        return self.embed_side("left", inputs)

    def embed_right(self, inputs: Tensors) -> Tensor:
        """Of items of the right side."""
        return self.embed_side("right", inputs)

    def match(self, items: Tensor, others: Tensor) -> Tensor:
        """Softmax over cosines times the factor that was learned (Radford 2021)."""
        return (self.factor.detach().cpu().clamp(max=STEEPEST).exp() * items @ others.T).softmax(1)

    def embed_side(self, side: str, inputs: Tensors) -> Tensor:
        """[B, E], rows of length 1."""
        tower = side if self.own else "left"
        return normalize(self.projections[tower](self.encoders[tower].pooled(inputs)).float(), dim=1)

    def represent(self, batch: Batch) -> Tensor:
        """[B, 2, E]"""
        return torch.stack([self.embed_side(side, batch.roles[side]) for side in ("left", "right")], dim=1)

    def loss_from(self, representations: Tensor, batch: Batch) -> Loss:
        rows, twins = len(representations), _twins(batch, representations.device)
        likeness = self.factor.clamp(max=STEEPEST).exp() * representations[:, 0] @ representations[:, 1].T
        if self.offset is not None:
            partners = 2 * torch.eye(rows, device=likeness.device) - 1
            return Loss(-logsigmoid(partners * (likeness + self.offset)).masked_fill(twins, 0.0).sum(), rows)
        likeness = likeness.masked_fill(twins, -math.inf)
        own = torch.arange(rows, device=likeness.device)
        both = cross_entropy(likeness, own, reduction="sum") + cross_entropy(likeness.T, own, reduction="sum")
        return Loss(both / 2, rows)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`recall_at_1`, `_5` and `_10`: the share of items of which a partner is among so many nearest.

        Mean over both directions and, by the side that is asked with, each by itself; among at most `EVALUATED` pairs.
        """
        kept: list[Tensor] = []
        held: list[Batch] = []
        for batch in batches:
            if sum(map(len, kept)) < EVALUATED:
                kept.append(self.represent(batch).cpu())
                held.append(batch)
        pairs = torch.cat(kept)[:EVALUATED]
        left, right = _sides(held)
        likeness = pairs[left.firsts, 0] @ pairs[right.firsts, 1].T
        own = partners(left, right)
        ahead = {"left": ranks(likeness, own), "right": ranks(likeness.T, own.T)}
        return _by_direction(lambda side, nearest: float((ahead[side] < nearest).double().mean()))

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`chance`: partners drawn at random."""
        own = partners(*_sides(test))
        asked = {"left": own, "right": own.T}
        return {"chance": _by_direction(lambda side, nearest: by_chance(asked[side], nearest))}


def _twins(batch: Batch, device: torch.device) -> Tensor:
    """[B, B] bool, which two different pairs share an item of a side."""
    equals = batch.equals or {side: first_equal(batch.roles[side]).to(device) for side in Aligned.sides}
    left, right = (equals[side][:, None] == equals[side] for side in Aligned.sides)
    return (left | right).fill_diagonal_(False)


def _sides(batches: Iterable[Batch]) -> list[Side]:
    """Left and right of the first pairs."""
    found: dict[str, list[bytes]] = {"left": [], "right": []}
    for batch in batches:
        for side, items in found.items():
            if len(items) < EVALUATED:
                items += identities(batch.roles[side])
    return [Side(items[:EVALUATED]) for items in found.values()]


def _by_direction(recall: Callable[[str, int], float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for nearest in NEAREST:
        each = {side: recall(side, nearest) for side in ("left", "right")}
        found[f"recall_at_{nearest}"] = sum(each.values()) / len(each)
        found |= {f"{side}_recall_at_{nearest}": share for side, share in each.items()}
    return found
