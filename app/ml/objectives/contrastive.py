"""Learns to find the other view of an item among the views of all others: NT-Xent, as in SimCLR (Chen 2020).

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding, `P` width of the projection.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm, normalize

from app.ml.decomposition.components import EXACT
from app.ml.encoders.base import Encoders
from app.ml.networks.layers import linear
from app.ml.objectives.base import Comparison, Role
from app.ml.objectives.parts.nesting import check_widths, over_prefixes, prefixes
from app.ml.objectives.parts.training_defaults import ENOUGH_SECONDS, TOKENS_SEEN, TrainingData
from app.ml.objectives.parts.views import FULLY_CONNECTED, ViewsSettings, lost_in_views, two_views
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.shapes import Shape, Tensors

PROJECTION = 128
"""Width in which views are compared (Chen 2020)."""
ROWS_SEEN = 600_000
"""Rows that a training sees by default, however few there are: about ten minutes of small pictures on two cores."""
TEXTS_SEEN = 100_000
"""The same for texts, each of which costs what many rows do."""
SPREAD_ROWS = 2000
"""Rows of whose pairs the uniformity is the mean."""


class Contrastive(ViewsSettings):
    """Find the other view of every row among those of the whole batch; learns from rows without labels."""

    name: Literal["contrastive"] = "contrastive"
    """Tell rows apart, whatever the view."""
    temperature: float = Field(0.2, gt=0, le=10)
    """Small ones make the loss look at the most similar other rows alone."""

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        if shape.aligned and shape.count <= FULLY_CONNECTED:
            return "mlp", "a place means the same in every item, and full connections see many more views in the time"
        return super().default_encoder(shape, rows)

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        return compared_training(data, batch=512)

    def build(self, roles: Mapping[str, Role]) -> "Contrast":
        return Contrast(self, roles["input"])


class TwoViews(Comparison):
    """An encoder, an embedding of its features, and a projection in which two views of an item are compared."""

    def __init__(self, settings: ViewsSettings, role: Role, projection: int) -> None:
        super().__init__()
        assert role.encoder is not None
        self.shape, self.corruption, self.widths = role.modality.shape, settings.corruption, settings.matryoshka
        self.encoders = Encoders({"input": role.encoder})
        width = role.dimensions or role.encoder.width
        self.shortcut = settings.beside(self.shape, width)
        if role.dimensions is not None and self.shortcut is not None:
            width -= self.shortcut.directions.shape[1]
        self.own = width
        """Numbers of an embedding that are learned."""
        self.unit = role.encoder.unit and width == role.encoder.width and self.shortcut is None
        check_widths(self.widths, width)
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        hidden = max(width, projection)
        self.projection = nn.Sequential(
            linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), linear(hidden, projection)
        )

    @torch.no_grad()
    def begin(self, stream: Stream) -> None:
        if self.shortcut is not None:
            self.shortcut.fill(lambda: (batch.roles["input"]["values"] for batch in stream()))

    def learned(self, inputs: Tensors) -> Tensor:
        """The part of the embedding by which views are compared."""
        features: Tensor = self.neck(self.encoders["input"].pooled(inputs))  # [B, D] -> [B, E]
        return features

    def embed(self, inputs: Tensors) -> Tensor:
        features = self.learned(inputs)
        if self.shortcut is None:
            return features
        components = self.shortcut(inputs["values"])
        share = math.sqrt(self.shortcut.directions.shape[1] / self.own)  # both parts are equally loud
        return torch.cat([share * layer_norm(features.float(), (self.own,)), components], 1)

    def chances(self, batch: Batch) -> Tensors:
        return lost_in_views(batch, self.shape, self.corruption, training=self.training)

    def represent(self, batch: Batch) -> Tensor:
        """[B, N, 2, P]: of every prefix that counts, the whole embedding first, both views."""
        views = two_views(batch, self.drawn(batch), self.shape)
        embedded = [prefixes(self.learned(view["input"]), self.widths) for view in views]
        return torch.stack([self.projection(each).float() for each in embedded], dim=2).transpose(0, 1)

    def loss_from(self, representations: Tensor, batch: Batch) -> Loss:
        return over_prefixes(representations.transpose(0, 1), self.compare)

    @abstractmethod
    def compare(self, views: Tensor) -> Loss:
        """The loss of the projections [B, 2, P] of both views."""

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`alignment` and `uniformity` (Wang & Isola 2020) of the projections: less is better for both."""
        near, count, kept = 0.0, 0, torch.zeros(0, 1)
        for batch in batches:
            views = normalize(self.represent(batch)[:, 0], dim=2)
            near += (views[:, 0] - views[:, 1]).square().sum().item()
            count += len(views)
            if len(kept) < SPREAD_ROWS:
                kept = torch.cat([kept.to(views).expand(-1, views.shape[2]), views[:, 0]])[:SPREAD_ROWS]
        return {"alignment": near / max(1, count), "uniformity": spread_of(kept)}


class Contrast(TwoViews):
    """Each view must be nearer to its item's other view than to any view of another item."""

    def __init__(self, settings: Contrastive, role: Role) -> None:
        super().__init__(settings, role, PROJECTION)
        self.temperature = settings.temperature

    def compare(self, views: Tensor) -> Loss:
        """Mean over both views of each item, summed over the items."""
        rows = len(views)
        views = normalize(views.float(), dim=2).transpose(0, 1).flatten(0, 1)  # [B, 2, P] -> [2B, P]
        likeness = views @ views.T / self.temperature
        likeness.fill_diagonal_(-math.inf)
        others = torch.arange(2 * rows, device=views.device).roll(rows)
        return Loss(cross_entropy(likeness, others, reduction="sum") / 2, rows)


def compared_training(data: TrainingData, *, batch: int) -> tuple[dict[str, Any], str]:
    """Large batches, since rows are each other's examples, a short warm-up, and as many epochs as `ROWS_SEEN` takes."""
    size = min(batch, max(16, 2 ** round(math.log2(max(1, data.rows / 8)))))
    seen = TEXTS_SEEN if data.shape.layout == "tokens" else ROWS_SEEN
    epochs = min(max(round(seen / data.rows), 3), 200)
    rate, passes = 2e-3, dict[str, Any](epochs=epochs)
    if data.shape.layout == "tokens":
        rate, passes = 5e-4, data.bounded(epochs, TOKENS_SEEN // 2)  # of every text there are two views
    elif data.shape.count > EXACT and not data.shape.aligned:
        passes["max_seconds"] = ENOUGH_SECONDS  # large pictures cost what many small ones do
    epochs = int(passes["epochs"])
    values = {**passes, "batch_size": size, "learning_rate": rate, "schedule": "cosine", "warmup": 0.05}
    steps = epochs * math.ceil(data.rows / size)
    return (
        values,
        f"{data.rows:,} training rows, {epochs} times over, are {steps:,} steps; rows are compared in batches",
    )


def spread_of(points: Tensor) -> float:
    """Uniformity of points [B, P] of length 1: the log of the mean Gaussian potential of all pairs.

    0 of a single one.
    """
    if len(points) < 2:
        return 0.0
    return torch.pdist(points).square().mul(-2).exp().mean().log().item()
