"""Layers that are one node of the graph give what the same layers give one after the other."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from app.ml.networks.rectified import Rectified


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


@pytest.mark.parametrize("kept", [True, False])
def test_a_last_layer_without_rectifier_joins_in(kept: bool) -> None:
    one, other = layers(Rectified), layers(nn.Sequential)
    last = nn.Linear(3, 4)
    twin = copy.deepcopy(last)
    learning = [[*one.parameters(), *last.parameters()], [*other.parameters(), *twin.parameters()]]
    if kept:
        for part in itertools.chain(*learning):
            part.grad = torch.zeros_like(part)
    inputs = torch.randn(4, 7)
    ours, theirs = one(inputs, last), twin(other(inputs))
    assert torch.equal(ours, theirs)
    for outputs in (ours, theirs):
        (outputs**2).sum().backward()
    for mine, expected in zip(*learning, strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, expected.grad)


@pytest.mark.parametrize("kept", [True, False])
def test_linear_layers_and_others_of_the_kind_join_in_behind(kept: bool) -> None:
    """As in an autoencoder: a narrow layer without rectifier, more layers with one, and a last one without."""
    torch.manual_seed(1)
    inner = [nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU()]
    behind = [nn.Linear(3, 2), Rectified(*inner), nn.Linear(6, 7)]
    whole = nn.ModuleList([layers(Rectified), *behind])
    twin = copy.deepcopy(nn.Sequential(layers(nn.Sequential), behind[0], *inner, behind[2]))
    if kept:
        for part in itertools.chain(whole.parameters(), twin.parameters()):
            part.grad = torch.zeros_like(part)
    inputs = torch.randn(4, 7)
    for _ in range(2):  # the second time, what was looked up is used again
        ours, theirs = whole[0](inputs, *behind), twin(inputs)
        assert torch.equal(ours, theirs)
        for outputs in (ours, theirs):
            (outputs**2).sum().backward()
    for mine, expected in zip(whole.parameters(), twin.parameters(), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.grad, expected.grad)
    with torch.no_grad():
        assert torch.equal(whole[0](inputs, *behind), twin(inputs))


@pytest.mark.parametrize("kept", [True, False])
def test_what_does_not_learn_gets_no_gradient(kept: bool) -> None:
    network = layers(Rectified)
    first, *others = network.parameters()
    first.requires_grad_(False)
    if kept:
        for part in others:
            part.grad = torch.zeros_like(part)
    inputs = torch.randn(4, 7)
    gradients(network, inputs)
    assert first.grad is inputs.grad is None
    assert all(part.grad is not None and part.grad.any() for part in others)


def test_rounded_arithmetic_is_left_to_the_layers() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layers(Rectified)(torch.randn(4, 7))
        assert outputs.dtype == torch.bfloat16
        outputs.float().sum().backward()


def test_weights_and_gradients_that_move_are_followed() -> None:
    """As when a trainer lays them into its buffers, some are frozen, or a copy is made."""
    one = layers(Rectified)

    def compare(network: nn.Sequential) -> None:
        other = layers(nn.Sequential)
        other.load_state_dict(network.state_dict())
        for part, twin in zip(network.parameters(), other.parameters(), strict=True):
            part.grad, twin.grad = (torch.zeros_like(part) if part.requires_grad else None for _ in range(2))
            twin.requires_grad_(part.requires_grad)
        inputs = torch.randn(64, 7)
        ours, theirs = gradients(network, inputs), gradients(other, inputs)
        assert any(gradient is not None and gradient.any() for gradient in theirs)
        for given, expected in zip(ours, theirs, strict=True):
            assert (given is None) == (expected is None)
            torch.testing.assert_close(given, expected)

    compare(one)
    compare(one)
    for part in one.parameters():
        part.data = part.data + 1
    network = copy.deepcopy(one)
    compare(one)
    compare(network)
    next(one.parameters()).requires_grad_(False)
    compare(one)
