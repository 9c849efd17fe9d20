import torch

from app.ml.networks.pieces import Pieces


def test_a_number_is_told_piece_by_piece_of_its_columns_quantiles() -> None:
    pieces = Pieces(2, 4)
    assert torch.equal(pieces(torch.rand(3, 2)), torch.zeros(3, 8)), "nothing is known yet"
    pieces.settle(torch.stack([torch.arange(9.0), torch.arange(9.0) ** 2], 1))  # cut at 0, 2, 4, 6, 8 and their squares
    told = pieces(torch.tensor([[3.0, -5.0], [100.0, 10.0]])).reshape(2, 2, 4)
    assert told[0].tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0]]
    assert told[1].tolist() == [[1, 1, 1, 1], [1, 0.5, 0, 0]]


def test_columns_of_few_values_have_pieces_between_these_and_of_two_none() -> None:
    pieces = Pieces(3, 8)
    rows = torch.stack([torch.arange(90.0) % 3, torch.arange(90.0) % 2, torch.ones(90)], 1)
    pieces.settle(rows)
    told = pieces(rows[:3]).reshape(3, 3, 8)
    assert told[:, 0, :2].tolist() == [[0, 0], [1, 0], [1, 1]]
    assert told[:, 0, 2:].abs().sum() == 0
    assert told[:, 1:].abs().sum() == 0
    assert pieces(torch.tensor([[1e30, -1e30, 1e30]])).isfinite().all()
