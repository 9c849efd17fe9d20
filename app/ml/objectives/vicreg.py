"""Learns features that agree between views and do not collapse: VICReg (Bardes 2021). Needs no other rows to contrast.

Legend: `B` batch, `P` width of the projection.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import relu

from app.ml.modalities.base import Layout
from app.ml.nesting import NestedSettings
from app.ml.objectives.base import Data, Loss, Role, RoleNeeds
from app.ml.objectives.contrastive import BESIDE, TwoViews, check_components, compared_training, usual_components

PROJECTION = 512
"""Wider than the features: decorrelating many projections is what keeps these apart."""
SMALLEST = 1e-4
"""Added to a variance before its root, whose slope is infinite at zero."""


class Vicreg(NestedSettings):
    """Make two views of every row alike while all features stay spread and uncorrelated; fit for small batches."""

    name: Literal["vicreg"] = "vicreg"
    """Agree between views, spread over rows."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    views: ClassVar[int] = 2

    invariance: float = Field(25.0, gt=0, le=1000)
    """Weight of the squared distance between two views."""
    variance: float = Field(25.0, gt=0, le=1000)
    """Weight of every projection's deviation below 1."""
    covariance: float = Field(1.0, ge=0, le=1000)
    """Weight of what two projections have in common."""
    corruption: float | None = Field(None, gt=0, lt=1)
    """Share of a row's values, patches or words that a view loses, where the job does not augment. By default 0.3,
    for words 0.15."""
    components: int | None = Field(None, ge=0, le=4096)
    """Principal components of a row that stand behind the learned features in its embedding, in half of it at most.
    By default 64 for pictures of up to 2,048 numbers and for recordings of a second or two, and none for other rows."""

    def check(self, layouts: Mapping[str, Layout]) -> None:
        check_components(self.components, layouts["input"])

    def default_settings(self, data: Data) -> tuple[dict[str, Any], str]:
        return {"components": usual_components(data.shape) if self.components is None else self.components}, BESIDE

    def default_training(self, data: Data) -> tuple[dict[str, Any], str]:
        values, reason = compared_training(data, batch=128)
        return {**values, "learning_rate": values["learning_rate"] / 2}, reason

    def build(self, roles: Mapping[str, Role]) -> "Decorrelated":
        return Decorrelated(self, roles["input"])


class Decorrelated(TwoViews):
    """Views agree; over the batch every projection varies, and no two vary together."""

    def __init__(self, settings: Vicreg, role: Role) -> None:
        super().__init__(role, settings.corruption, settings.components or 0, PROJECTION, settings.matryoshka)
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
