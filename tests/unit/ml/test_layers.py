import pytest
import torch

from app.ml.layers import RECTIFIED, convolution, linear, normalisation


def test_linear_keeps_the_size_of_a_signal() -> None:
    rows = torch.randn(500, 300)
    assert linear(300, 400)(rows).std().item() == pytest.approx(1.0, rel=0.1)
    rectified = torch.relu(linear(300, 400, RECTIFIED)(rows))
    assert rectified.square().mean().item() == pytest.approx(1.0, rel=0.1)


@pytest.mark.parametrize(("side", "stride", "after"), [(3, 1, 9), (3, 2, 5), (1, 1, 9), (1, 2, 5)])
def test_convolution_keeps_or_halves_the_size(side: int, stride: int, after: int) -> None:
    assert convolution(2, 4, side=side, stride=stride)(torch.rand(1, 2, 9, 9)).shape == (1, 4, after, after)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (7, 1), (1, 1)])
def test_normalisation_has_groups_that_divide_the_channels(channels: int, groups: int) -> None:
    assert normalisation(channels).num_groups == groups
