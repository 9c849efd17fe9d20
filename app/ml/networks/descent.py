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

from app.ml.networks.rectified import Chain
from app.ml.networks.team import Team

POSSIBLE = sys.version_info < (3, 14)
"""From there on Python's TorchScript is not supported."""
LARGEST = 2
"""Threads of a team that is worth its price: one of them adds up what all have learned, and moves the weights."""
FEWEST_ROWS = 128
"""Of a thread: with fewer, large networks lose more by the adding than small ones gain."""
RELIEF = 32
"""By one of so many rows the share of each but the first thread is smaller: it begins later, since it has to be woken,
and fetches rows behind."""


class Descent:
    """A chain as the threads of a team compute it. Neither its weights nor its gradients may move meanwhile."""

    def __init__(self, chain: Chain, team: Team, *, bounded: bool) -> None:
        """`bounded`: a sigmoid follows the chain."""
        self.team, self.program = team, _compiled()
        links = chain.links
        layers = [link.weight for link in links], [link.bias for link in links], [link.rectified for link in links]
        own = [link.weight_gradient for link in links], [link.bias_gradient for link in links]
        self._gradients = [_memory_of([*own[0], *own[1]])]
        self._chains = [(*layers, *own, bounded)]
        for _ in range(team.size - 1):
            room = torch.zeros_like(self._gradients[0])
            self._gradients.append(room)
            self._chains.append((*layers, _laid(own[0], room), _laid(own[1], room), bounded))

    def descend(self, seen: Tensor, values: Tensor, share: float) -> Tensor:
        """Sum over rows [B, N] of the mean squared difference between `values` and what the chain makes of `seen`.

        Adds `share` times its gradients to those of the layers. The sums, to the last bit, depend on the size of the
        team.
        """
        rows = len(seen)
        count = max(1, min(self.team.size, rows // FEWEST_ROWS))
        even = rows // count
        ends = [rows - (even - even // RELIEF) * others for others in reversed(range(count))]

        def work(number: int) -> Tensor:
            begin, end = ends[number - 1] if number else 0, ends[number]
            kept = 0.0 if number else 1.0  # the first adds to what there is
            with torch.inference_mode(), optimized_execution(False):  # else optimised anew for every number of rows
                return self.program(seen, values, begin, end, *self._chains[number], share, kept)

        total, *others = self.team.together(work, count)
        for other, gradient in zip(others, self._gradients[1:], strict=False):
            self._gradients[0].add_(gradient)
            total = total + other
        return total


def _memory_of(gradients: list[Tensor | None]) -> Tensor:
    """The memory in which all of them lie, side by side, as one tensor: one operation then adds to all."""
    parts = [gradient for gradient in gradients if gradient is not None]
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1, "gradients lie together: this is a bug"
    return parts[0].new_empty(0).set_(parts[0].untyped_storage())


def _laid(gradients: list[Tensor | None], room: Tensor) -> list[Tensor | None]:
    """Where in other memory the same gradients lie."""
    return [
        None if part is None else room.as_strided(part.shape, part.stride(), part.storage_offset())
        for part in gradients
    ]


@cache
def _compiled() -> Callable[..., Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program: Callable[..., Tensor] = torch.jit.script(_descend)
    return program


def _descend(
    seen: Tensor,
    values: Tensor,
    begin: int,
    end: int,
    weights: List[Tensor],  # noqa: UP006
    biases: List[Tensor],  # noqa: UP006
    rectified: List[bool],  # noqa: UP006
    weight_gradients: List[Optional[Tensor]],  # noqa: UP006, UP045
    bias_gradients: List[Optional[Tensor]],  # noqa: UP006, UP045
    bounded: bool,
    share: float,
    kept: float,
) -> Tensor:
    given = [seen[begin:end]]
    for number in range(len(weights)):
        outputs = torch.addmm(biases[number], given[number], weights[number].t())  # [B, N] -> [B, M]
        given.append(outputs.relu_() if rectified[number] else outputs)
    told = given[-1].sigmoid_() if bounded else given[-1]
    gradient = told - values[begin:end]
    count = gradient.shape[1]
    differences = gradient.view(-1)
    total: Tensor = torch.dot(differences, differences).div_(count)
    if bounded:
        torch.ops.aten.sigmoid_backward(gradient, told, grad_input=gradient)
    scale = 2.0 * share / count
    ones = seen.new_ones(end - begin)
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
