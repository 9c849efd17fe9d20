"""Learns to tell the hidden parts of an item from the visible ones.

Words as in BERT (Devlin 2018), patches of pictures and spectrograms as in MAE (He 2021, Huang 2022), numbers of a row
as in VIME (Yoon 2020).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from app.ml.objectives.base import ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.masked_networks import MaskedNetwork, MaskedPatches, MaskedTokens, MaskedValues
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.shapes import Shape


class Masked(ObjectiveSettings):
    """Tell hidden parts of every row from the visible ones; learns from rows without labels."""

    name: Literal["masked"] = "masked"
    """Tell hidden parts from visible ones."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True)
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True

    mask_ratio: float | None = Field(None, gt=0, lt=1)
    """Share of an item's values, patches or words that is hidden. By default 0.75 for an encoder that sees the visible
    patches alone, else 0.3."""

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        if shape.layout == "grid":
            return "transformer", "it sees the visible patches alone, which is fast, and the places of the others"
        return super().default_encoder(shape, rows)

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        return {**values, "learning_rate": 1e-3 if data.shape.layout != "vector" else 2e-3}, reason

    def build(self, roles: Mapping[str, Role]) -> "MaskedNetwork":
        """Raises OutOfRange for items of a single part."""
        role = roles["input"]
        assert role.encoder is not None
        if role.modality.shape.layout == "tokens":
            return MaskedTokens(self.mask_ratio, role)
        return (MaskedPatches if role.encoder.side else MaskedValues)(self.mask_ratio, role)
