"""Training losses since the last validation: sums that stay on the device until somebody asks for their means."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from app.errors import NonFiniteLoss
from app.ml.objectives.base import Objective
from worker.checkpoint import Position


class Losses:
    """The loss and its parts, summed over `count` rows or tokens."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, sums: Mapping[str, Tensor], count: int) -> None:
        for name, value in sums.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += count

    def clear(self) -> None:
        self.sums, self.count = {}, 0

    def restore(self, sums: Mapping[str, Tensor], count: int, device: torch.device) -> None:
        self.sums = {name: value.to(device) for name, value in sums.items()}
        self.count = count

    def means(self, position: Position, network: Objective) -> dict[str, float]:
        """Means since the last validation, or the last ones known.

        Raises NonFiniteLoss: then no later weights may be kept.
        """
        if not self.count:
            known = {k.removeprefix("train_"): v for k, v in position.metrics.items() if k.startswith("train_")}
            return known or {"loss": 0.0}
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        if not math.isfinite(means["loss"]):
            raise not_finite(means["loss"], position, network)
        return means


def not_finite(loss: float, position: Position, network: Objective) -> NonFiniteLoss:
    """What became of the loss, and where."""
    spoiled = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    where = f", and so did weights, {spoiled[0]!r} first" if spoiled else ""
    rate = position.rate_scale * position.spec["training"]["learning_rate"]
    return NonFiniteLoss(
        f"the training loss became {loss} by step {position.step}{where}; try a learning_rate below {rate:g}"
    )
