"""Linear layers with a rectifier after each, as one node of the graph.

Small layers are short of arithmetic: most of the time of a step is the handling of single operations. Here a layer is
two operations forward and five backward, and gradients are added where they are kept; the numbers are those of
`nn.Sequential`, bit for bit.

Legend: `B` batch, `N` numbers before a layer, `M` after it.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Rectified(nn.Sequential):
    """`nn.Linear` and `nn.ReLU` in turn, [B, N] to [B, M]."""

    def forward(self, inputs: Tensor) -> Tensor:
        plainly = torch.compiler.is_compiling() or torch.is_autocast_enabled(inputs.device.type)
        if plainly or not torch.is_grad_enabled():
            return cast(Tensor, super().forward(inputs))  # type: ignore[no-untyped-call]
        parameters = [part for layer in self if isinstance(layer, nn.Linear) for part in (layer.weight, layer.bias)]
        outputs: Tensor = _Chain.apply(inputs, *parameters)  # type: ignore[no-untyped-call]
        return outputs


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, *parameters: Tensor) -> Tensor:
        values = [inputs]
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            values.append(torch.addmm(bias, values[-1], weight.t()).relu_())  # [B, N] -> [B, M]
        ctx.save_for_backward(*values, *parameters)
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count = (len(ctx.needs_input_grad) - 1) // 2
        values, parameters = ctx.saved_tensors[: count + 1], ctx.saved_tensors[count + 1 :]
        gradients: list[Tensor | None] = [None] * (2 * count + 1)
        for number in reversed(range(count)):
            weight, bias = parameters[2 * number : 2 * number + 2]
            gradient = torch.ops.aten.threshold_backward(gradient, values[number + 1], 0)
            if ctx.needs_input_grad[2 * number + 1]:
                if weight.grad is None:
                    gradients[2 * number + 1] = gradient.t() @ values[number]
                else:
                    weight.grad.addmm_(gradient.t(), values[number])
            if ctx.needs_input_grad[2 * number + 2]:
                if bias.grad is None:
                    gradients[2 * number + 2] = gradient.sum(0)
                else:
                    bias.grad.add_(gradient.sum(0))
            if number or ctx.needs_input_grad[0]:
                gradient = gradient @ weight
        gradients[0] = gradient if ctx.needs_input_grad[0] else None
        return tuple(gradients)
