"""Learns to predict a number, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `N`, `M` rows, `W` numbers per row.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from app.ml.objectives.base import Role, RoleNeeds
from app.ml.objectives.parts.supervised import Headed, SupervisedSettings
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.shapes import Shape, Tensors

WIDEST = 2048
"""Numbers per row up to which a linear regression stands beside the network, and that pieces of them may become."""
PIECES, FEWEST_PIECES, ROWS_A_PIECE = 32, 4, 8
"""Of each number that the default encoder reads, and training rows that each has at least."""
SHRINKAGES = tuple(10.0**power for power in range(-6, 3))
"""Of ridge regression, per row."""


class Regression(SupervisedSettings):
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

    def encoder_size(self, name: str, shape: Shape, rows: int) -> tuple[dict[str, Any], str]:
        pieces = min(PIECES, WIDEST // shape.count, rows // ROWS_A_PIECE)
        if name != "mlp" or shape.layout != "vector" or pieces < FEWEST_PIECES:
            return super().encoder_size(name, shape, rows)
        return {"pieces": pieces}, f"of {rows:,} rows of {shape.count} numbers: they show steps within a column"

    def build(self, roles: Mapping[str, Role]) -> "Regressor":
        return Regressor(self, roles["input"], roles["target"])


class Regressor(Headed):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: Regression, role: Role, target: Role) -> None:
        super().__init__(settings, role, 1)
        self._error = huber_loss if settings.error == "huber" else mse_loss
        self._target = target.modality
        shape = role.modality.shape
        self._is_linear = shape.layout == "vector" and shape.count <= WIDEST

    def predict(self, inputs: Tensors) -> Tensor:
        """[B, 1], in training deviations from the training mean."""
        return self.scores(inputs)

    def loss_of(self, scores: Tensor, target: Tensors) -> Loss:
        return Loss(self._error(scores, target["values"], reduction="sum"), len(scores))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """In the unit of the data: `rmse`, `mae`; and `r2`, the share of the variance that is explained."""
        pairs = [(self.predict(batch.roles["input"]), batch.roles["target"]["values"]) for batch in batches]
        return self._metrics(torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs]))

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`mean`: the mean of the training rows, for every row; of vectors also `ridge`, a linear regression."""
        known, wanted = (torch.cat([batch.roles["target"]["values"] for batch in part]) for part in (train, test))
        found = {"mean": self._metrics(known.mean().expand_as(wanted), wanted)}
        if self._is_linear:
            rows, asked = (torch.cat([batch.roles["input"]["values"] for batch in part]) for part in (train, test))
            found["ridge"] = self._metrics(ridge(rows, known, asked), wanted)
        return found

    def _metrics(self, given: Tensor, wanted: Tensor) -> dict[str, float]:
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
