"""Layers that are one node of the graph give what the same layers give one after the other."""

import pytest
import torch
from torch import Tensor, nn

from app.ml.rectified import Rectified


def layers(kind: type[nn.Sequential]) -> nn.Sequential:
    torch.manual_seed(0)
    return kind(nn.Linear(7, 5), nn.ReLU(inplace=True), nn.Linear(5, 3), nn.ReLU(inplace=True))


def gradients(network: nn.Sequential, *batches: Tensor) -> list[Tensor | None]:
    for inputs in batches:
        (network(inputs) ** 2).sum().backward()
    return [part.grad for part in network.parameters()]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("uses", [1, 2])
def test_gradients_are_those_of_single_layers(kept: bool, uses: int) -> None:
    """With memory for the gradients, as a trainer gives, and without; of layers that are used once and twice."""
    one, other = layers(Rectified), layers(nn.Sequential)
    if kept:
        for network in (one, other):
            for part in network.parameters():
                part.grad = torch.zeros_like(part)
    batches = [torch.randn(4, 7, requires_grad=True) for _ in range(uses)]
    twins = [batch.detach().clone().requires_grad_() for batch in batches]
    ours, theirs = gradients(one, *batches), gradients(other, *twins)
    assert torch.equal(one(batches[0]), other(twins[0]))
    for given, expected in zip([*ours, *(b.grad for b in batches)], [*theirs, *(t.grad for t in twins)], strict=True):
        assert given is not None
        assert expected is not None
        torch.testing.assert_close(given, expected)


def test_what_does_not_learn_gets_no_gradient() -> None:
    network = layers(Rectified)
    next(network.parameters()).requires_grad_(False)
    inputs = torch.randn(4, 7)
    first, *others = gradients(network, inputs)
    assert first is inputs.grad is None
    assert all(grad is not None for grad in others)


def test_rounded_arithmetic_is_left_to_the_layers() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layers(Rectified)(torch.randn(4, 7))
        assert outputs.dtype == torch.bfloat16
        outputs.float().sum().backward()
