"""Numbers told piece by piece of their range: piecewise-linear encoding (Gorishniy 2022).

A network of full connections learns steps and waves within a column slowly from the number alone. Each piece tells how
much of it lies below the number, so that every piece has a slope of its own from the first layer on.
Legend: `B` batch, `N` numbers per item, `P` pieces, `R` rows.
"""

import torch
from torch import Tensor, nn

FEWEST = 2
"""Pieces of a column; one alone says what the number does."""


class Pieces(nn.Module):
    """[B, N] to [B, N · P]: 0 below a piece, 1 above it, and in between the share of it that lies below the number.

    All are 0 until `settle`, and those that a column has no use for stay so.
    """

    low: Tensor
    slope: Tensor

    def __init__(self, numbers: int, count: int) -> None:
        super().__init__()
        self.width = numbers * count
        self.register_buffer("low", torch.zeros(numbers, count))
        self.register_buffer("slope", torch.zeros(numbers, count))

    def forward(self, rows: Tensor) -> Tensor:
        return ((rows[:, :, None] - self.low) * self.slope).clamp(0, 1).flatten(1)

    @torch.no_grad()
    def settle(self, rows: Tensor) -> None:
        """Cuts each column of rows [R, N] at its quantiles; what few values it has lie between pieces of their own."""
        ends = torch.linspace(0, 1, self.low.shape[1] + 1)
        for number, column in enumerate(rows.T.float()):
            cuts = torch.unique(torch.quantile(column, ends, interpolation="nearest"))
            if len(cuts) > FEWEST:
                self.low[number, : len(cuts) - 1] = cuts[:-1]
                self.slope[number, : len(cuts) - 1] = 1 / cuts.diff()
