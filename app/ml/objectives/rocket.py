"""Series as many random kernels and plain statistics tell of them, narrowed by PCA: ROCKET (Dempster 2020).

Legend: `B` batch, `R` rows, `W` numbers per row, `E` width of the embedding.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from app.errors import OutOfRange
from app.ml.encoders.kernels import KernelsEncoder
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors

MOST_ROWS, MOST_NUMBERS = 20_000, 2**26
"""That are learned from, spread over all rows."""


class Rocket(SolvedSettings):
    """What random kernels find in a series, beside level, swing and spectrum of each channel; computed, without steps.

    Learns from rows without labels."""

    name: Literal["rocket"] = "rocket"
    """Random kernels over series."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector"}), encoded=True, capabilities=frozenset({"kernels"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True

    @property
    def shortest(self) -> int | None:
        return None  # every number says as much as the next

    def default_encoder(self, shape: Shape) -> tuple[str, str]:
        return "kernels", "they find what a series holds, wherever it stands"

    def build(self, roles: Mapping[str, Role]) -> "RandomKernels":
        """Raises OutOfRange for more dimensions than are told of a series."""
        role = roles["input"]
        encoder, code = role.encoder, role.dimensions
        assert isinstance(encoder, KernelsEncoder)
        if encoder.width > encoder.count:
            raise OutOfRange(
                f"dimensions: {encoder.width} asked, and {encoder.count} numbers are told of a series; give fewer, or "
                "more kernels",
                param="encoder.dimensions",
            )
        return RandomKernels(encoder, code or encoder.width)


class RandomKernels(Solved):
    """An embedding is what the encoder says."""

    def __init__(self, encoder: KernelsEncoder, code: int) -> None:
        super().__init__()
        self.code = code
        self.encoders = nn.ModuleDict({"input": encoder})

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoders["input"](inputs).pooled
        return pooled[:, : self.code]

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        encoder = self.encoders["input"]
        assert isinstance(encoder, KernelsEncoder)
        tell(0.0)
        encoder.settle(_spread(stream), tell)


def _spread(stream: Stream) -> Tensor:
    """Rows [R, W] from the beginning to the end of the stream, equally far apart."""
    count = sum(len(batch.rows) for batch in stream())
    kept, seen = list[Tensor](), 0
    for batch in stream():
        values = batch.roles["input"]["values"]
        most = max(1, min(MOST_ROWS, MOST_NUMBERS // values.shape[1]))
        apart = -(-count // most)
        kept.append(values[-seen % apart :: apart].clone())
        seen += len(values)
    return torch.cat(kept)
