"""Recurrent layers over tokens and over the columns of a grid."""

import pytest
import torch

from app.ml.encoders.rnn import Cell, Rnn
from app.ml.tensors.shapes import Shape

TEXT = Shape("tokens", (9,), vocabulary=20)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_padding_changes_nothing(cell: Cell, bidirectional: bool) -> None:
    torch.manual_seed(0)
    network = Rnn(cell=cell, width=8, depth=2, bidirectional=bidirectional).build(TEXT).eval()
    values = torch.randint(0, 20, (2, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    whole = network({"values": values, "mask": mask})
    cut = network({"values": values[1:, :4], "mask": mask[1:, :4]})
    assert whole.pooled.shape == (2, 16 if bidirectional else 8)
    torch.testing.assert_close(whole.pooled[1:], cut.pooled)
    torch.testing.assert_close(whole.tokens[1:, :4], cut.tokens)


def test_columns_of_a_grid_are_its_time() -> None:
    shape = Shape("grid", (2, 5, 7))
    network = Rnn(width=8, bidirectional=False).build(shape).eval()
    values = torch.rand(3, 2, 5, 7)
    changed = values.clone()
    changed[..., 4] += 1
    before, after = network({"values": values}).tokens, network({"values": changed}).tokens
    assert before.shape == (3, 7, 8)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.equal(before[:, 4:], after[:, 4:])
    assert network.decoder(shape, 5)(torch.randn(2, 5)).shape == (2, 2, 5, 7)


def test_a_decoder_of_text_scores_every_word_at_every_place() -> None:
    assert Rnn(width=8).build(TEXT).decoder(TEXT, 5)(torch.randn(2, 5), 4).shape == (2, 4, 20)
