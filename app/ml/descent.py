"""How far a chain of layers redraws rows, and its gradients: by several threads at once, each with rows of its own.

Where threads share every operation of a small network, they meet some sixty times in a step and wait for each other.
Here each takes its rows through all layers and back, and they meet once. Python would let one of them at a time begin
an operation, so what they do is a program of TorchScript. That is deprecated; what follows it needs a compiler of C++.

Legend: `B` rows, `N` numbers per row.
"""

import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import List, Optional  # noqa: UP035 (what TorchScript reads)

import torch
from torch import Tensor
from torch.jit import optimized_execution  # type: ignore[attr-defined]

from app.ml.rectified import Chain
from app.ml.team import Team

POSSIBLE = sys.version_info < (3, 14)
"""From there on Python's TorchScript is not supported."""
LARGEST = 2
"""Threads of a team that is worth its price: one of them adds up what all have learned, and moves the weights."""
FEWEST_ROWS = 128
"""Of a thread: with fewer, large networks lose more by the adding than small ones gain."""


def descend(chain: Chain, seen: Tensor, values: Tensor, *, bounded: bool, share: float, team: Team) -> Tensor:
    """Sum over rows [B, N] of the mean squared difference between `values` and what the chain makes of `seen`.

    Adds `share` times its gradients to those of the layers. If `bounded`, a sigmoid follows the chain. The sums, to the
    last bit, depend on the size of the team.
    """
    assert chain.anchor is not None, "what learns has room for its gradients: this is a bug"
    program = _compiled()
    count = max(1, min(team.size, len(seen) // FEWEST_ROWS))
    gradients = chain.gradients(count)
    parts = list(zip(seen.tensor_split(count), values.tensor_split(count), strict=True))
    layers = chain.weights, chain.biases, chain.rectified

    def work(number: int) -> Tensor:
        kept = 0.0 if number else 1.0  # the first adds to what there is
        with torch.no_grad(), optimized_execution(False):  # a program is optimised anew for every number of rows
            return program(*parts[number], *layers, *gradients[number], bounded, share, kept)

    sums = team.together(work, count)
    for other in gradients[1:]:
        for own, more in zip(gradients[0], other, strict=True):
            torch._foreach_add_([g for g in own if g is not None], [g for g in more if g is not None])
    return sums[0] if count == 1 else torch.stack(sums).sum()


@cache
def _compiled() -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program: Callable[..., Tensor] = torch.jit.script(_descend)
    return program


def _descend(
    seen: Tensor,
    values: Tensor,
    weights: List[Tensor],  # noqa: UP006
    biases: List[Tensor],  # noqa: UP006
    rectified: List[bool],  # noqa: UP006
    weight_gradients: List[Optional[Tensor]],  # noqa: UP006, UP045
    bias_gradients: List[Optional[Tensor]],  # noqa: UP006, UP045
    bounded: bool,
    share: float,
    kept: float,
) -> Tensor:
    given = [seen]
    for number in range(len(weights)):
        outputs = torch.addmm(biases[number], given[number], weights[number].t())  # [B, N] -> [B, M]
        given.append(outputs.relu_() if rectified[number] else outputs)
    told = given[-1].sigmoid_() if bounded else given[-1]
    gradient = told - values
    count = gradient.shape[1]
    total: Tensor = torch.linalg.vector_norm(gradient, 2.0, [1]).square_().sum().div_(count)
    if bounded:
        torch.ops.aten.sigmoid_backward(gradient, told, grad_input=gradient)
    scale = 2.0 * share / count
    ones = seen.new_ones(seen.shape[0])
    for back in range(len(weights)):
        number = len(weights) - 1 - back
        if rectified[number]:
            torch.ops.aten.threshold_backward(gradient, given[number + 1], 0.0, grad_input=gradient)
        turned = gradient.t()  # [M, B]
        weight_gradient = weight_gradients[number]
        if weight_gradient is not None:
            weight_gradient.addmm_(turned, given[number], beta=kept, alpha=scale)
        bias_gradient = bias_gradients[number]
        if bias_gradient is not None:
            bias_gradient.addmv_(turned, ones, beta=kept, alpha=scale)
        if number > 0:
            gradient = torch.mm(gradient, weights[number])
    return total
