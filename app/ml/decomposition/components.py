"""Principal components of a stream of items (Pearson 1901): where they lie, and along what they vary most.

Legend: `B` batch, `N` numbers per item, `E` components.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from app.ml.decomposition.factorisation import eigen, leading
from app.ml.tensors.shapes import Shape

EXACT = 2048
"""Numbers per item up to which all their products are summed in one pass; beyond, a few directions are followed."""
PASSES = 7
SMALLEST = 1e-6
"""Deviation that components are divided by, at least: items may be all alike."""

Rows = Callable[[], Iterator[Tensor]]
"""Every call gives the items from the beginning, in pieces [B, N]."""


def principal(rows: Rows, size: int, rank: int, tell: Callable[[float], None]) -> tuple[Tensor, Tensor, Tensor]:
    """The mean [N], the `rank` leading directions [N, E] and the variances [E] along them of items of `size` numbers.

    Directions that the items do not vary along are zero. `tell` is called after every piece with the share that is done
    and may raise.
    """
    passes = 2 if size <= EXACT else 1 + PASSES
    count, done, total = 0, 0, torch.zeros(size, dtype=torch.float64)
    for piece in rows():
        total += piece.double().sum(0)
        count += len(piece)
        tell(0.0)
    mean = (total / max(1, count)).float()

    def centred() -> Iterator[Tensor]:
        nonlocal done
        for piece in rows():
            yield piece - mean
            done += len(piece)
            tell(min(1.0, (1 / passes) + done / (count * passes)))

    def covariance(basis: Tensor) -> Tensor:
        return sum((piece.T @ (piece @ basis) for piece in centred()), torch.zeros_like(basis)) / count

    if size <= EXACT:
        products = sum((piece.T @ piece for piece in map(Tensor.double, centred())), torch.zeros(size, size).double())
        return mean, *eigen(products / max(1, count), rank)
    return mean, *leading(covariance, size, rank, passes=PASSES)


class Projection(nn.Module):
    """Rows of numbers to their components, divided by one number, so that their deviation is 1 on average.

    Nothing until it is settled.
    """

    mean: Tensor
    directions: Tensor
    scale: Tensor

    def __init__(self, count: int, rank: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("directions", torch.zeros(count, rank))
        self.register_buffer("scale", torch.ones(()))

    def settle(self, mean: Tensor, directions: Tensor, variances: Tensor, smallest: float) -> None:
        """By what `principal` gives; no deviation counts as less than `smallest`."""
        self.mean.copy_(mean)
        self.directions.copy_(directions)
        self.scale.copy_(variances.sqrt().mean().clamp(min=smallest))

    def forward(self, values: Tensor) -> Tensor:
        """[B, …] to [B, E]."""
        return (values.flatten(1) - self.mean) @ self.directions / self.scale


class Shortcut(Projection):
    """A fixed way past a network: items to their components, and components back to items."""

    def __init__(self, shape: Shape, rank: int) -> None:
        super().__init__(shape.count, rank)
        self.size = shape.size

    def fill(self, rows: Rows) -> None:
        """From items [B, *size]."""
        count, rank = self.directions.shape
        found = principal(lambda: (piece.flatten(1) for piece in rows()), count, rank, lambda share: None)
        self.settle(*found, SMALLEST)

    def back(self, code: Tensor) -> Tensor:
        """[B, E] to [B, *size]."""
        return (code.float() * self.scale @ self.directions.T + self.mean).view(-1, *self.size)
