"""Items are equal in all of their tensors or not at all."""

import torch

from app.ml.tensors.equal_items import LOOKED_AT, first_equal


def test_items_that_are_alike_where_they_are_looked_at_are_compared_whole() -> None:
    items = torch.rand(6, 3, 40, 40)
    items[3] = items[1]
    items[4] = items[1]
    items[5] = items[0]
    stride = items[0].numel() * 4 // LOOKED_AT | 1
    items[5].view(-1).view(torch.uint8)[stride // 2] += 1  # between two bytes that are looked at
    assert first_equal({"values": items}).tolist() == [0, 1, 2, 1, 1, 5]


def test_texts_are_equal_where_their_ends_are() -> None:
    values = torch.tensor([[5, 7, 0], [5, 7, 0], [5, 7, 0], [5, 8, 0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0]]).bool()
    assert first_equal({"values": values, "mask": mask}).tolist() == [0, 1, 0, 3]
    assert first_equal({"values": values[:, 0]}).tolist() == [0, 0, 0, 0]
