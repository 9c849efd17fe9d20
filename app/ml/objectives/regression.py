"""Learns to predict a number, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import huber_loss, mse_loss

from app.ml.layers import linear
from app.ml.modalities.base import Tensors
from app.ml.objectives.base import Batch, Data, Loss, Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.classification import GRAFT_RATE

WIDEST = 2048
"""Numbers per row up to which a linear regression stands beside the network."""
SHRINKAGES = tuple(10.0**power for power in range(-6, 3))
"""Of ridge regression, per row."""


class Regression(ObjectiveSettings):
    """Predict a number for every row. Rows without one are left out."""

    name: Literal["regression"] = "regression"
    """Predict a number."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True),
        "target": RoleNeeds(frozenset({"numbers"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "predict"})

    error: Literal["huber", "squared"] = "huber"
    """`squared` aims at the mean; `huber` (Huber 1964) does so up to one deviation, and beyond it wild numbers pull no
    harder."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features that the head does not see at a step of training."""

    def default_training(self, data: Data) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        if not data.from_base:
            return values, reason
        return {**values, "encoder_rate": GRAFT_RATE}, f"{reason}; the encoder moves slowly, as it has learned before"

    def build(self, roles: Mapping[str, Role]) -> "Regressor":
        return Regressor(self, roles["input"], roles["target"])


class Regressor(Objective):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: Regression, role: Role, target: Role) -> None:
        super().__init__()
        assert role.encoder is not None
        self.encoders = nn.ModuleDict({"input": role.encoder})
        width = role.dimensions or role.encoder.width
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = linear(width, 1)
        self._error = huber_loss if settings.error == "huber" else mse_loss
        self._target = target.modality
        shape = role.modality.shape
        self._is_linear = shape.layout == "vector" and shape.count <= WIDEST

    def embed(self, inputs: Tensors) -> Tensor:
        embedding: Tensor = self.neck(self.encoders["input"](inputs).pooled)  # [B, D] -> [B, E]
        return embedding

    def predict(self, inputs: Tensors) -> Tensor:
        """[B, 1], in training deviations from the training mean."""
        value: Tensor = self.head(self.dropout(self.norm(self.embed(inputs))))
        return value.float()

    def loss(self, batch: Batch) -> Loss:
        values = batch.roles["target"]["values"]
        return Loss(self._error(self.predict(batch.roles["input"]), values, reduction="sum"), len(values))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """In the unit of the data: `rmse`, `mae`; and `r2`, the share of the variance that is explained."""
        pairs = [(self.predict(batch.roles["input"]), batch.roles["target"]["values"]) for batch in batches]
        return self._judged(torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs]))

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`mean`: the mean of the training rows, for every row; of vectors also `ridge`, a linear regression."""
        known, wanted = (torch.cat([batch.roles["target"]["values"] for batch in part]) for part in (train, test))
        found = {"mean": self._judged(known.mean().expand_as(wanted), wanted)}
        if self._is_linear:
            rows, asked = (torch.cat([batch.roles["input"]["values"] for batch in part]) for part in (train, test))
            found["ridge"] = self._judged(ridge(rows, known, asked), wanted)
        return found

    def _judged(self, given: Tensor, wanted: Tensor) -> dict[str, float]:
        """Of standardised [N, 1]."""
        answers, values = (
            torch.tensor([item["value"] for item in self._target.render(numbers)], dtype=torch.float64)
            for numbers in (given, wanted)
        )
        error, spread = answers - values, values - values.mean()
        squares = spread.square().sum()
        return {
            "rmse": error.square().mean().sqrt().item(),
            "mae": error.abs().mean().item(),
            "r2": (1 - error.square().sum() / squares).item() if squares > 0 else 0.0,
        }


def ridge(rows: Tensor, values: Tensor, asked: Tensor) -> Tensor:
    """Ridge regression (Hoerl & Kennard 1970) of `values` [N, 1] on `rows` [N, W], answered for `asked` [M, W].

    How much it shrinks is chosen by generalised cross-validation (Golub, Heath & Wahba 1979).
    """
    count, mean, middle = len(rows), rows.double().mean(0), values.double().mean()
    centred, wanted = rows.double() - mean, values.double() - middle
    squares, axes = torch.linalg.eigh(centred.T @ centred)
    squares = squares.clamp_min(0)
    along, turned = axes.T @ (centred.T @ wanted), centred @ axes  # [W, 1], [N, W]
    best = (math.inf, torch.zeros_like(along))
    for strength in SHRINKAGES:
        shrunk = squares + strength * count
        weights = along / shrunk[:, None]
        left = count - 1 - float((squares / shrunk).sum())
        error = float((turned @ weights - wanted).square().sum()) / max(left, 1e-9) ** 2
        best = min(best, (error, weights), key=lambda pair: pair[0])
    answers: Tensor = (asked.double() - mean) @ axes @ best[1] + middle
    return answers.float()
