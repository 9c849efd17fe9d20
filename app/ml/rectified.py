"""Linear layers with a rectifier after each, and perhaps a last one without, as one node of the graph.

Small layers are short of arithmetic: most of the time of a step is the handling of single operations. Here a layer is
two operations forward and five backward, gradients are added where they are kept, whichever ones are asked for, and the
graph knows nothing of single weights; the numbers are those of `nn.Sequential`, bit for bit.

Legend: `B` batch, `N` numbers before a layer, `M` after it.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

rectify_back = torch.ops.aten.threshold_backward.grad_input


class Rectified(nn.Sequential):
    """`nn.Linear` and `nn.ReLU` in turn, [B, N] to [B, M]."""

    def forward(self, inputs: Tensor, last: nn.Linear | None = None) -> Tensor:
        """`last` is applied to what these layers give."""
        layers = [layer for layer in self if isinstance(layer, nn.Linear)]
        rectified = len(layers)
        if last is not None:
            layers.append(last)
        if _plainly(inputs) or (anchor := _anchor(layers)) is None:
            values = cast(Tensor, super().forward(inputs))  # type: ignore[no-untyped-call]
            return values if last is None else cast(Tensor, last(values))
        outputs: Tensor = _Chain.apply(inputs, anchor, layers, rectified)  # type: ignore[no-untyped-call]
        return outputs


def _plainly(inputs: Tensor) -> bool:
    return not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled(inputs.device.type)


def _anchor(layers: Sequence[nn.Linear]) -> Tensor | None:
    """A weight that stands for all of them in the graph; None where not all that learn have room for gradients."""
    learning = [part for layer in layers for part in (layer.weight, layer.bias) if part.requires_grad]
    return learning[0] if learning and all(part.grad is not None for part in learning) else None


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, anchor: Tensor, layers: Sequence[nn.Linear], rectified: int) -> Tensor:
        values = [inputs]
        for number, layer in enumerate(layers):
            outputs = torch.addmm(layer.bias, values[-1], layer.weight.t())  # [B, N] -> [B, M]
            values.append(outputs.relu_() if number < rectified else outputs)
        ctx.layers, ctx.rectified = layers, rectified
        ctx.save_for_backward(*values[: rectified + 1])  # what a last layer gives is of no use to its gradients
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values = ctx.saved_tensors
        passes_on = ctx.needs_input_grad[0]
        ours = False
        for number, layer in reversed(list(enumerate(ctx.layers))):
            weight, bias = layer.weight, layer.bias
            if number < ctx.rectified:
                into = gradient if ours else torch.empty_like(gradient)
                gradient = rectify_back(gradient, values[number + 1], 0, grad_input=into)
            if weight.requires_grad:
                weight.grad.addmm_(gradient.t(), values[number])
            if bias.requires_grad:
                bias.grad.add_(gradient.sum(0))
            if number or passes_on:
                gradient, ours = gradient @ weight, True
        return gradient if passes_on else None, None, None, None
