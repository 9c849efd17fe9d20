"""Principal component analysis (Pearson 1901): the linear code from which items are rebuilt with the least error.

Legend: `B` batch, `N` numbers per item, `E` width of the code.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from app.errors import OutOfRange
from app.ml.decomposition.components import principal
from app.ml.encoders.base import Encoders
from app.ml.encoders.linear import LinearEncoder
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.tensors.batch import Batch, Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors


class Pca(SolvedSettings):
    """The directions in which rows vary most; computed, without steps. Learns from rows without labels."""

    name: Literal["pca"] = "pca"
    """Principal components."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid"}), True, frozenset({"linear"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "linear", "components are a linear map"

    def build(self, roles: Mapping[str, Role]) -> "Components":
        """Raises OutOfRange for more dimensions than an item has numbers."""
        role = roles["input"]
        count, width = role.modality.shape.count, role.dimensions or 1
        if width > count:
            raise OutOfRange(
                f"dimensions: {width} asked, and a row has {count} numbers; there are no more components than that",
                param="encoder.dimensions",
            )
        return Components(role)


class Components(Solved):
    """A mean, and components in the order of the variance along them."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        assert isinstance(role.encoder, LinearEncoder)
        self.encoders = Encoders({"input": role.encoder})
        self.code = role.dimensions or role.encoder.width
        self.size = role.modality.shape.size

    @property
    def encoder(self) -> LinearEncoder:
        encoder = self.encoders["input"]
        assert isinstance(encoder, LinearEncoder)
        return encoder

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoder.pooled(inputs)
        return pooled[:, : self.code]

    def reconstruct(self, inputs: Tensors) -> Tensor:
        """[B, *shape.size], in the unit of the scaled input."""
        back = self.embed(inputs) @ self.encoder.weight[:, : self.code].T + self.encoder.offset
        return back.view(-1, *self.size)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        total, count = 0.0, 0
        for batch in batches:
            inputs = batch.roles["input"]
            each = (self.reconstruct(inputs) - inputs["values"]).square().flatten(1).mean(1)
            total, count = total + float(each.sum()), count + len(each)
        return {"mse": total / max(1, count)}

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        def rows() -> Iterator[Tensor]:
            return (batch.roles["input"]["values"].flatten(1) for batch in stream())

        mean, vectors, _ = principal(rows, len(self.encoder.offset), self.encoder.width, tell)
        self.encoder.offset.copy_(mean)
        self.encoder.weight.copy_(vectors)
