"""A network whose matrix products multiply numbers of 16 bits (bf16), and that is fp32 in all else.

What is rounded are weights, once and for all, and what is multiplied with them; sums, norms, attention and pooling are
computed as they were. Autocast would convert the weights anew for every batch and attend in bf16.
"""

from copy import deepcopy
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from app.ml.networks.work import HEAVY

N = TypeVar("N", bound=nn.Module)

HALF = torch.bfloat16


def halved(network: N) -> N:
    """A copy for inference that shares all tensors with `network` but the weights of its products."""
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    copy = deepcopy(network, dict(shared))
    for module in copy.modules():
        if isinstance(module, HEAVY):
            for name, tensor in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(tensor.detach().to(HALF), requires_grad=False))
            module.register_forward_pre_hook(_round)
            module.register_forward_hook(_widen)
    return copy


def _round(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].to(HALF), *inputs[1:])


def _widen(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    return output.float()
