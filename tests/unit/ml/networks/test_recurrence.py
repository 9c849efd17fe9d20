"""Recurrent layers step after step answer as torch's do for items that are packed."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from app.ml.networks.recurrence import unrolled


def told(layers: nn.GRU | nn.LSTM, steps: Tensor, lengths: Tensor) -> Tensor:
    packed = pack_padded_sequence(steps, lengths, enforce_sorted=False)
    return pad_packed_sequence(layers(packed)[0], total_length=len(steps))[0]


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_what_stands_behind_an_end_changes_nothing(cell: type[nn.GRU | nn.LSTM], bidirectional: bool) -> None:
    torch.manual_seed(0)
    layers, lengths = cell(5, 8, 2, bidirectional=bidirectional), torch.tensor([1, 30, 7])
    steps, gone = torch.randn(30, 3, 5), torch.arange(30)[:, None] >= lengths
    with torch.no_grad():
        wanted, found = told(layers, steps, lengths), unrolled(layers, steps, gone[:, :, None].float())
    torch.testing.assert_close(found[~gone], wanted[~gone])


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM])
def test_items_that_are_equally_long_have_no_end(cell: type[nn.GRU | nn.LSTM]) -> None:
    torch.manual_seed(0)
    layers, steps = cell(5, 8, bidirectional=True), torch.randn(9, 3, 5)
    torch.testing.assert_close(unrolled(layers, steps), layers(steps)[0])
