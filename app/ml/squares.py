"""Mean squared errors with few passes over memory: for rows as wide as pictures, passes cost more than arithmetic.

Legend: `B` batch, `N` numbers per item.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean_squares(drawn: Tensor, values: Tensor) -> Tensor:
    """Mean squared difference [B] of items [B, …]; `values` learn nothing."""
    each: Tensor = _MeanSquares.apply(drawn.flatten(1), values.flatten(1))  # type: ignore[no-untyped-call]
    return each


class _MeanSquares(torch.autograd.Function):
    """Keeps the differences alone: plain operations write squares and copies of the gradient of every number, too."""

    @staticmethod
    def forward(ctx: Any, drawn: Tensor, values: Tensor) -> Tensor:
        difference = drawn - values  # [B, N]
        ctx.save_for_backward(difference)
        norms: Tensor = torch.linalg.vector_norm(difference, dim=1)
        return norms.square_().div_(difference.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return difference * (gradient * (2 / difference.shape[1]))[:, None], None
