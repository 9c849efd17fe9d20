"""Series and sounds as many random kernels and plain statistics tell of them, narrowed by PCA: ROCKET (Dempster 2020).

Legend: `B` batch, `E` width of the embedding.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from app.ml.encoders.base import Encoders
from app.ml.encoders.kernels import KernelsEncoder
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.series.sample import spread
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors


class Rocket(SolvedSettings):
    """What random kernels find in a series or a sound, beside what is plain of each channel; computed, without steps.

    Learns from rows without labels."""

    name: Literal["rocket"] = "rocket"
    """Random kernels over series and sounds."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid"}), encoded=True, capabilities=frozenset({"kernels"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True

    @property
    def shortest(self) -> int | None:
        return None  # every number says as much as the next

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "kernels", "they find what a series holds, wherever it stands"

    def build(self, roles: Mapping[str, Role]) -> "RandomKernels":
        role = roles["input"]
        assert isinstance(role.encoder, KernelsEncoder)
        return RandomKernels(role.encoder, role.dimensions or role.encoder.width)


class RandomKernels(Solved):
    """An embedding is what the encoder says."""

    def __init__(self, encoder: KernelsEncoder, code: int) -> None:
        super().__init__()
        self.code = code
        self.encoders = Encoders({"input": encoder})

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoders["input"].pooled(inputs)
        return pooled[:, : self.code]

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        encoder = self.encoders["input"]
        assert isinstance(encoder, KernelsEncoder)
        tell(0.0)
        encoder.settle(spread(stream, "input"), tell)
