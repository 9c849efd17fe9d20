"""Convolutions along time: a row's answer is its own."""

import torch

from app.ml.networks.temporal import Convolutions


def test_padding_and_neighbours_change_nothing() -> None:
    torch.manual_seed(0)
    layers = Convolutions(8, 2)
    rows = torch.randn(2, 9, 8)
    mask = torch.arange(9) < torch.tensor([[9], [5]])
    rows[1, 5:] = 7.0  # what lies in padding does not count
    together = layers(rows, mask)
    alone = layers(rows[1:, :5], mask[1:, :5])
    torch.testing.assert_close(together[1:, :5], alone)


def test_a_frame_sees_two_to_either_side_in_every_layer() -> None:
    torch.manual_seed(0)
    layers, mask = Convolutions(8, 2), torch.ones(1, 12, dtype=torch.bool)
    rows = torch.randn(1, 12, 8)
    changed = rows.clone()
    changed[0, 0] = torch.randn(8)
    moved = (layers(rows, mask) - layers(changed, mask)).abs().amax(2)[0] > 1e-6
    assert moved.tolist() == [True] * 5 + [False] * 7
