"""What all objectives that learn from targets have in common: a head on an encoder, and how a graft moves.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding, `K` outputs of the head.
"""

from abc import abstractmethod
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from app.ml.layers import linear
from app.ml.modalities.base import Tensors
from app.ml.nesting import NestedSettings, check_widths, over_prefixes, prefixes
from app.ml.objectives.base import GRAFT_RATE, Batch, Data, Loss, Objective, Role


class SupervisedSettings(NestedSettings):
    """Root of the settings of those objectives."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features that the head does not see at a step of training."""

    def default_training(self, data: Data) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        if not data.from_base:
            return values, reason
        return {**values, "encoder_rate": GRAFT_RATE}, f"{reason}; the encoder moves slowly, as it has learned before"


class Headed(Objective):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: SupervisedSettings, role: Role, outputs: int) -> None:
        super().__init__()
        assert role.encoder is not None
        self.encoders = nn.ModuleDict({"input": role.encoder})
        width = role.dimensions or role.encoder.width
        self.widths, self.unit = settings.matryoshka, role.encoder.unit and width == role.encoder.width
        check_widths(self.widths, width)
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = linear(width, outputs)

    def embed(self, inputs: Tensors) -> Tensor:
        embedding: Tensor = self.neck(self.encoders["input"](inputs).pooled)  # [B, D] -> [B, E]
        return embedding

    def scores(self, inputs: Tensors) -> Tensor:
        """[B, K]"""
        return self.scored(self.embed(inputs))

    def scored(self, embeddings: Tensor) -> Tensor:
        """[…, E] to [..., K]"""
        scores: Tensor = self.head(self.dropout(self.norm(embeddings)))
        return scores.float()

    def loss(self, batch: Batch) -> Loss:
        scores = self.scored(prefixes(self.embed(batch.roles["input"]), self.widths))  # [N, B, K]
        return over_prefixes(scores, lambda each: self.loss_of(each, batch.roles["target"]))

    @abstractmethod
    def loss_of(self, scores: Tensor, target: Tensors) -> Loss:
        """The loss of scores [B, K]."""
