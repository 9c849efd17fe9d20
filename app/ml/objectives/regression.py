"""Learns to predict a number, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `N`, `M` rows, `W` numbers per row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss

from app.errors import DoesNotFit
from app.ml.networks.layers import silence
from app.ml.networks.ridge import ridge
from app.ml.objectives.base import Role, RoleNeeds
from app.ml.objectives.parts.supervised import Headed, SupervisedSettings
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.shapes import Shape, Tensors

WIDEST = 2048
"""Numbers per row, or rows where there are fewer of these, up to which a linear regression stands beside the network;
and numbers that pieces may become."""
PIECES, FEWEST_PIECES, ROWS_A_PIECE = 32, 4, 8
"""Of each number that the default encoder reads, and training rows that each has at least."""


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
    residual: bool | None = None
    """Begin as a linear regression of the rows, which stays as it is, and learn what that misses. By default so for
    tables that a new encoder reads."""

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        fits = has_line(data.shape, data.rows)
        if self.residual and not fits:
            raise DoesNotFit(
                f"objective.residual: a linear regression reads tables of up to {WIDEST:,} numbers a row, or as many "
                "rows; leave it out",
                param="objective.residual",
            )
        usual = fits and not (data.from_base or data.settled)
        residual = usual if self.residual is None else self.residual
        reason = f"begins as ridge regression of {data.rows:,} rows" if residual else "the network alone"
        return {"residual": residual}, reason

    def encoder_size(self, name: str, shape: Shape, rows: int) -> tuple[dict[str, Any], str]:
        pieces = min(PIECES, WIDEST // shape.count, rows // ROWS_A_PIECE)
        if name != "mlp" or shape.layout != "vector" or pieces < FEWEST_PIECES:
            return super().encoder_size(name, shape, rows)
        return {"pieces": pieces}, f"of {rows:,} rows of {shape.count} numbers: they show steps within a column"

    def build(self, roles: Mapping[str, Role]) -> "Regressor":
        return Regressor(self, roles["input"], roles["target"])


class Regressor(Headed):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    slopes: Tensor
    level: Tensor

    def __init__(self, settings: Regression, role: Role, target: Role) -> None:
        super().__init__(settings, role, 1)
        self._error = huber_loss if settings.error == "huber" else mse_loss
        self._target = target.modality
        self._shape = role.modality.shape
        self.residual = bool(settings.residual)
        if self.residual:
            self.register_buffer("slopes", torch.zeros(self._shape.count, 1))
            self.register_buffer("level", torch.zeros(1))
            silence(self.head)

    @property
    def begins_solved(self) -> bool:
        return self.residual or super().begins_solved

    def begin(self, stream: Stream) -> None:
        """Settles the linear regression, where there is one, for what the network is to learn beside it."""
        if not self.residual:
            super().begin(stream)
            return
        batches = list(stream())
        rows, values = (torch.cat([batch.roles[role]["values"] for batch in batches]) for role in ("input", "target"))
        slopes, level = ridge(rows.flatten(1), values)
        self.slopes.copy_(slopes)
        self.level.copy_(level)

    @torch.no_grad()
    def solve_head(self, features: Tensor, target: Tensors) -> None:
        """Ridge regression: it finds how much to hold back by itself, and exactly where numbers hardly vary."""
        slopes, level = ridge(features.flatten(0, 1), target["values"].repeat(len(features), 1))
        self.head.weight.copy_(slopes.T)
        self.head.bias.copy_(level)

    def known(self, inputs: Tensors) -> Tensor | float:
        return inputs["values"].flatten(1) @ self.slopes + self.level if self.residual else 0.0

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
        if has_line(self._shape, len(known)):
            rows, asked = (torch.cat([batch.roles["input"]["values"] for batch in part]) for part in (train, test))
            slopes, level = ridge(rows, known)
            found["ridge"] = self._metrics(asked @ slopes + level, wanted)
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


def has_line(shape: Shape, rows: int) -> bool:
    """Whether a linear regression of so many rows may stand beside a network that reads such items."""
    return shape.layout == "vector" and min(shape.count, rows) <= WIDEST
