"""Learns features that agree between views and do not collapse: VICReg (Bardes 2021). Needs no other rows to contrast.

Legend: `B` batch, `P` width of the projection.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import relu

from app.ml.objectives.base import Role
from app.ml.objectives.contrastive import TwoViews, compared_training
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.objectives.parts.views import ViewsSettings
from app.ml.tensors.batch import Loss

PROJECTION = 512
"""Wider than the features: decorrelating many projections is what keeps these apart."""
SMALLEST = 1e-4
"""Added to a variance before its root, whose slope is infinite at zero."""


class Vicreg(ViewsSettings):
    """Make two views of every row alike while all features stay spread and uncorrelated; fit for small batches."""

    name: Literal["vicreg"] = "vicreg"
    """Agree between views, spread over rows."""
    invariance: float = Field(25.0, gt=0, le=1000)
    """Weight of the squared distance between two views."""
    variance: float = Field(25.0, gt=0, le=1000)
    """Weight of every projection's deviation below 1."""
    covariance: float = Field(1.0, ge=0, le=1000)
    """Weight of what two projections have in common."""

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        values, reason = compared_training(data, batch=128)
        return {**values, "learning_rate": values["learning_rate"] / 2}, reason

    def build(self, roles: Mapping[str, Role]) -> "Decorrelated":
        return Decorrelated(self, roles["input"])


class Decorrelated(TwoViews):
    """Views agree; over the batch every projection varies, and no two vary together."""

    def __init__(self, settings: Vicreg, role: Role) -> None:
        super().__init__(settings, role, PROJECTION)
        self.settings = settings

    def compare(self, views: Tensor) -> Loss:
        rows, _, width = views.shape
        views = views.float().transpose(0, 1)  # [B, 2, P] -> [2, B, P]
        apart = (views[0] - views[1]).square().mean()
        centred = views - views.mean(1, keepdim=True)
        divisor = max(1, rows - 1)
        common = centred.transpose(1, 2) @ centred / divisor  # [2, P, P]
        variances = common.diagonal(dim1=1, dim2=2)
        narrow = relu(1 - (variances + SMALLEST).sqrt()).mean()
        shared = (common.square().sum() - variances.square().sum()) / width / 2
        weights = self.settings
        total = weights.invariance * apart + weights.variance * narrow + weights.covariance * shared
        parts = {"invariance": apart, "variance": narrow, "covariance": shared}
        return Loss(total * rows, rows, {name: part.detach() * rows for name, part in parts.items()})
