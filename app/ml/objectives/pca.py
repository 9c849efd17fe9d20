"""Principal component analysis (Pearson 1901): the linear code from which items are rebuilt with the least error.

Legend: `B` batch, `N` numbers per item, `E` width of the code, `Q` vectors.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from app.errors import OutOfRange
from app.ml.encoders.linear import LinearEncoder
from app.ml.factorisation import eigen, leading
from app.ml.modalities.base import Shape, Tensors
from app.ml.objectives.base import Batch, Role, RoleNeeds, Solved, SolvedSettings, Stream, Tell

EXACT = 2048
"""Numbers per item up to which all their products are summed in one pass; beyond, a few directions are followed."""
PASSES = 7


class Pca(SolvedSettings):
    """The directions in which rows vary most; computed, without steps. Learns from rows without labels."""

    name: Literal["pca"] = "pca"
    """Principal components."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid"}), True, frozenset({"linear"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "reconstruct"})
    keeps_dimensions: ClassVar[bool] = True

    def default_encoder(self, shape: Shape) -> tuple[str, str]:
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
        self.encoders = nn.ModuleDict({"input": role.encoder})
        self.code = role.dimensions or role.encoder.width
        self.size = role.modality.shape.size

    @property
    def encoder(self) -> LinearEncoder:
        encoder = self.encoders["input"]
        assert isinstance(encoder, LinearEncoder)
        return encoder

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoder(inputs).pooled
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
        size, rank = len(self.encoder.offset), self.encoder.width
        passes = 2 if size <= EXACT else 1 + PASSES
        rows, done, mean = 0, 0, torch.zeros(size, dtype=torch.float64)
        for batch in stream():
            mean += batch.roles["input"]["values"].flatten(1).double().sum(0)
            rows += len(batch.rows)
            tell(0.0)
        self.encoder.offset.copy_(mean / rows)

        def centred() -> Iterator[Tensor]:
            nonlocal done
            for batch in stream():
                yield batch.roles["input"]["values"].flatten(1) - self.encoder.offset
                done += len(batch.rows)
                tell(min(1.0, (1 / passes) + done / (rows * passes)))

        def covariance(basis: Tensor) -> Tensor:
            return sum((values.T @ (values @ basis) for values in centred()), torch.zeros_like(basis)) / rows

        if size <= EXACT:
            products = sum((v.T @ v for v in map(Tensor.double, centred())), torch.zeros(size, size).double())
            vectors, _ = eigen(products / rows, rank)
        else:
            vectors, _ = leading(covariance, size, rank, passes=PASSES)
        self.encoder.weight.copy_(vectors)
