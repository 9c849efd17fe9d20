"""Linear layers with a rectifier after each, and others before and behind them, as one node of the graph.

Small layers are short of arithmetic: most of the time of a step is the handling of single operations. Here a layer is
two operations forward and four backward, gradients are added where they are kept, whichever ones are asked for, the
graph knows nothing of single weights, and what a step needs of a layer is looked up once. The outputs are those of
`nn.Sequential`, bit for bit, and so are the gradients, but for the biases', which are summed in another order.

Legend: `B` batch, `N` numbers before a layer, `M` after it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

rectify_back = torch.ops.aten.threshold_backward.grad_input
learns, gradient_of = attrgetter("requires_grad"), attrgetter("grad")


class Rectified(nn.Sequential):
    """`nn.Linear` and `nn.ReLU` in turn, [B, N] to [B, M]."""

    _chain: "Chain | None" = None

    def forward(self, inputs: Tensor, *behind: nn.Module) -> Tensor:
        """`behind` are linear layers and others of this kind: one after the other, they get what these layers give."""
        chain = None if _plainly(inputs) else self.chain(*behind)
        if chain is None or chain.anchor is None:
            values = cast(Tensor, super().forward(inputs))  # type: ignore[no-untyped-call]
            for module in behind:
                values = module(values)
            return values
        outputs: Tensor = _Apply.apply(inputs, chain.anchor, chain.links)  # type: ignore[no-untyped-call]
        return outputs

    def chain(self, *behind: nn.Module) -> "Chain":
        """These layers and those `behind`, with where they lie now."""
        chain = self._chain
        if chain is None or chain.behind != behind or chain.moved():
            chain = self._chain = Chain(self, behind)
        return chain


def _plainly(inputs: Tensor) -> bool:
    return not torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled(inputs.device.type)


class Link(NamedTuple):
    """A layer as a step needs it."""

    weight: Tensor
    """[M, N]"""
    across: Tensor
    """The same, [N, M]."""
    bias: Tensor
    rectified: bool
    weight_gradient: Tensor | None
    """Where it is added up; None for what does not learn."""
    bias_gradient: Tensor | None


class Chain:
    """Layers and where their weights and gradients lie."""

    def __init__(self, first: Rectified, behind: tuple[nn.Module, ...]) -> None:
        self.behind = behind
        layers = [
            (layer, isinstance(module, Rectified))
            for module in (first, *behind)
            for layer in module.modules()
            if isinstance(layer, nn.Linear)
        ]
        self._weights = [part for layer, _ in layers for part in (layer.weight, layer.bias)]
        self._found = self._look()
        learning = [part for part in self._weights if part.requires_grad]
        self.anchor = learning[0] if learning and all(part.grad is not None for part in learning) else None
        """A weight that stands for all of them in the graph; None where not all that learn have room for gradients."""
        self.links = [
            Link(
                layer.weight.detach(),
                layer.weight.detach().t(),
                layer.bias.detach(),
                rectified,
                layer.weight.grad if layer.weight.requires_grad else None,
                layer.bias.grad if layer.bias.requires_grad else None,
            )
            for layer, rectified in layers
        ]

    def moved(self) -> bool:
        """True once a weight or a gradient lies elsewhere, or another choice of them learns."""
        return self._found != self._look()

    def _look(self) -> list[int]:
        weights = self._weights
        return [*map(Tensor.data_ptr, weights), *map(id, map(gradient_of, weights)), *map(learns, weights)]

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the layers looks for its own."""


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, anchor: Tensor, links: Sequence[Link]) -> Tensor:
        values = [inputs]
        for link in links:
            outputs = torch.addmm(link.bias, values[-1], link.across)  # [B, N] -> [B, M]
            values.append(outputs.relu_() if link.rectified else outputs)
        ctx.links = links
        # what a last layer without rectifier gives is of no use to its gradients
        ctx.save_for_backward(*(values if links[-1].rectified else values[:-1]))
        return values[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values = ctx.saved_tensors
        passes_on = ctx.needs_input_grad[0]
        ones = gradient.new_ones(len(gradient))
        ours = False
        for number in range(len(ctx.links) - 1, -1, -1):
            weight, _, _, rectified, weight_gradient, bias_gradient = ctx.links[number]
            if rectified:
                into = gradient if ours else torch.empty_like(gradient)
                gradient = rectify_back(gradient, values[number + 1], 0, grad_input=into)
            turned = gradient.t()  # [M, B]
            if weight_gradient is not None:
                weight_gradient.addmm_(turned, values[number])
            if bias_gradient is not None:
                bias_gradient.addmv_(turned, ones)
            if number or passes_on:
                gradient, ours = torch.mm(gradient, weight), True
        return gradient if passes_on else None, None, None
