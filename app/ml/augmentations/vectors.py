"""Random changes of rows of numbers.

Legend: `B` batch, `W` width of the encoded rows.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from app.ml.augmentations.base import Augmentation, Draw
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Roles
from app.ml.tensors.device import sent
from app.ml.tensors.shapes import Shape, Tensors


class VectorsAugmentation(Augmentation):
    """Noise on rows of numbers, numbers taken away, and numbers of other rows."""

    name: Literal["vectors"] = "vectors"
    """Changes rows of numbers."""

    noise: float = Field(0.0, ge=0, le=10)
    """Deviation of the normal noise that is added to the scaled numbers."""
    masking: float = Field(0.0, ge=0, lt=1)
    """Share of the numbers that are set to zero: the training mean where scaling is `standard`."""
    swap: float = Field(0.0, ge=0, lt=1)
    """Share of the numbers that are replaced by those of any rows of the batch in the same column (Bahri 2021), so that
    each stays a number that occurs there."""

    @classmethod
    def usual(cls, shape: Shape, views: int) -> tuple["VectorsAugmentation | None", str]:
        if views == 1:
            return super().usual(shape, views)
        return cls(swap=0.3), "two views of a row of numbers share what other rows cannot tell (Bahri 2021)"

    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        inputs = self.inputs(roles, fitted)
        return roles | {role: self._changed(roles[role], draw.of(role), fitted[role].columns) for role in inputs}

    def _changed(self, inputs: Tensors, draw: Draw, columns: Tensor | None) -> Tensors:
        values = inputs["values"]  # [B, W]
        owner = torch.arange(values.shape[1]) if columns is None else columns  # what belongs together changes together
        owner, count = sent(owner, values.device), int(owner.max()) + 1
        if self.swap:
            others = values.gather(0, draw.others("swap", count)[:, owner])
            values = torch.where(draw.uniform("swapped", count)[:, owner] < self.swap, others, values)
        if self.noise:
            values = values + self.noise * draw.normal("noise", values.shape[1])
        if self.masking:
            values = values.masked_fill(draw.uniform("masking", count)[:, owner] < self.masking, 0.0)
        return {**inputs, "values": values}
