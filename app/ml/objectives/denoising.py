"""Learns to rebuild an item from a damaged copy (Vincent 2008), so that the code keeps what belongs together.

Legend: `B` batch, `L` tokens.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from app.errors import DoesNotFit
from app.ml.objectives.autoencoding import Autoencoder
from app.ml.objectives.base import ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.codes import flat_encoder, narrow
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.text.tokenization import MASK, SPECIALS

Noise = Literal["gaussian", "masking", "salt_and_pepper"]
EXTREME = 2.0
"""Deviations from the mean at which a scaled value counts as extreme."""


class Denoising(ObjectiveSettings):
    """Rebuild every row from a damaged copy; learns from rows without labels. Only training adds noise."""

    name: Literal["denoising"] = "denoising"
    """Rebuild from a damaged copy."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True

    noise: Noise = "masking"
    """`masking` sets values to zero, `salt_and_pepper` sets them to their lowest or highest, `gaussian` adds noise.
    Of text, `masking` hides words, `salt_and_pepper` sets any others in their place."""
    strength: float = Field(0.25, gt=0, le=1)
    """Share of the values that are damaged; for `gaussian` the deviation of what is added to the scaled values."""

    def check(self, layouts: Mapping[str, Layout]) -> None:
        if self.noise == "gaussian" and layouts["input"] == "tokens":
            raise DoesNotFit(
                "objective.noise: 'gaussian' is for numbers; text takes 'masking' or 'salt_and_pepper'",
                param="objective.noise",
            )

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return flat_encoder(shape)

    def default_dimensions(self, data: TrainingData) -> int | None:
        return narrow(data.shape)

    def build(self, roles: Mapping[str, Role]) -> "Denoiser":
        return Denoiser(self, roles["input"])


class Denoiser(Autoencoder):
    """An autoencoder that is shown damaged items while it trains."""

    def __init__(self, settings: Denoising, role: Role) -> None:
        super().__init__(role)
        self.settings = settings

    def chances(self, batch: Batch) -> Tensors:
        drawn = super().chances(batch)
        if not self.training:
            return drawn
        values, random = batch.roles["input"]["values"], batch.generator()
        if self.settings.noise == "gaussian":
            return drawn | {"noise": torch.randn(values.shape, generator=random)}
        drawn = drawn | {"hit": torch.rand(values.shape, generator=random)}
        if self.shape.layout == "tokens" and self.settings.noise == "salt_and_pepper":
            assert self.shape.vocabulary is not None
            drawn["others"] = torch.randint(len(SPECIALS), self.shape.vocabulary, values.shape, generator=random)
        return drawn

    def corrupt(self, batch: Batch) -> Tensors:
        inputs = batch.roles["input"]
        if not self.training:
            return inputs
        damaged = self._replaced if self.shape.layout == "tokens" else self._damaged
        return {**inputs, "values": damaged(inputs["values"], self.drawn(batch))}

    def _damaged(self, values: Tensor, drawn: Tensors) -> Tensor:
        strength = self.settings.strength
        if self.settings.noise == "gaussian":
            return values + strength * drawn["noise"]
        if self.settings.noise == "masking":
            return values.masked_fill(drawn["hit"] < strength, 0.0)
        low, high = (0.0, 1.0) if self.shape.bounded else (-EXTREME, EXTREME)
        return values.masked_fill(drawn["hit"] < strength, high).masked_fill(drawn["hit"] < strength / 2, low)

    def _replaced(self, words: Tensor, drawn: Tensors) -> Tensor:
        """Words [B, L], a share of them hidden or exchanged."""
        hit = drawn["hit"] < self.settings.strength
        return words.masked_fill(hit, MASK) if self.settings.noise == "masking" else words.where(~hit, drawn["others"])
