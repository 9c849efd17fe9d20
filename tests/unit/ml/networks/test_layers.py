import pytest
import torch
from torch.nn.functional import layer_norm

from app.ml.networks.layers import activated, convolution, linear, normalisation


def test_an_activated_layer_keeps_the_size_of_a_signal() -> None:
    layer = activated(300, 400)
    assert torch.relu(layer(torch.randn(500, 300))).square().mean().item() == pytest.approx(1.0, rel=0.1)
    assert not layer.bias.any()


def test_a_normalised_layer_still_tells_a_signal_from_its_double() -> None:
    layer, rows = linear(8, 128), torch.randn(50, 8)
    once, twice = layer_norm(layer(rows), (128,)), layer_norm(layer(2 * rows), (128,))
    assert (once - twice).square().mean() > 0.01


@pytest.mark.parametrize(("side", "stride", "after"), [(3, 1, 9), (3, 2, 5), (1, 1, 9), (1, 2, 5)])
def test_convolution_keeps_or_halves_the_size(side: int, stride: int, after: int) -> None:
    assert convolution(2, 4, side=side, stride=stride)(torch.rand(1, 2, 9, 9)).shape == (1, 4, after, after)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (7, 1), (1, 1)])
def test_normalisation_has_groups_that_divide_the_channels(channels: int, groups: int) -> None:
    assert normalisation(channels).num_groups == groups
