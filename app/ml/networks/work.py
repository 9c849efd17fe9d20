"""What a network multiplies: counted in the layers that weigh."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

HEAVY = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def multiplications(network: nn.Module, compute: Callable[[], object]) -> int:
    """Those of the network's heavy layers while `compute` is called, counted by a hook on each."""
    counted = 0

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        nonlocal counted
        weight = module.weight
        assert isinstance(weight, Tensor)
        given = inputs[0].numel() if isinstance(module, nn.ConvTranspose2d) else output.numel()
        counted += weight[0].numel() * given  # weights are [outputs, …], of a transposed convolution [inputs, …]

    hooks = [part.register_forward_hook(count) for part in network.modules() if isinstance(part, HEAVY)]
    compute()
    for hook in hooks:
        hook.remove()
    return counted
