"""Mean squared errors with few passes over memory: for rows as wide as pictures, passes cost more than arithmetic.

Legend: `B` batch, `N` numbers per item.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

sigmoid_back = torch.ops.aten.sigmoid_backward.grad_input


def mean_squares(drawn: Tensor, values: Tensor, *, bounded: bool = False) -> Tensor:
    """Mean squared difference [B] of items [B, …]; `values` learn nothing.

    If `bounded`, it is that of the sigmoid of `drawn`.
    """
    each: Tensor = _MeanSquares.apply(drawn.flatten(1), values.flatten(1), bounded)  # type: ignore[no-untyped-call]
    return each


class _MeanSquares(torch.autograd.Function):
    """Keeps the differences, and what they are of where that bends; gradients take their place."""

    @staticmethod
    def forward(ctx: Any, drawn: Tensor, values: Tensor, bounded: bool) -> Tensor:
        told = drawn.sigmoid() if bounded else drawn
        difference = told - values  # [B, N]
        ctx.save_for_backward(difference, *([told] if bounded else []))
        norms: Tensor = torch.linalg.vector_norm(difference, dim=1)
        return norms.square_().div_(difference.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        difference, *told = ctx.saved_tensors
        into = difference.mul_((gradient * (2 / difference.shape[1]))[:, None])
        if told:
            sigmoid_back(into, told[0], grad_input=into)
        return into, None, None
