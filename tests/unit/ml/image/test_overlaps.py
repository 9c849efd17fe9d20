"""Overlaps of boxes by hand, suppression as one would do it box by box, and the best that differ."""

import pytest
import torch
from torch import Tensor

from app.ml.image.overlaps import SAME, best, distinct, likeness, overlaps

SQUARE = [0.0, 0.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("other", "overlap", "alike"),
    [
        (SQUARE, 1, 1),
        ([0.0, 0.0, 2.0, 1.0], 1 / 2, 1 / 2),
        ([1.0, 1.0, 3.0, 3.0], 1 / 7, 1 / 7 - 2 / 9),
        ([4.0, 0.0, 6.0, 2.0], 0, -1 / 3),
        ([1.0, 1.0, 1.0, 1.0], 0, 0),  # without area, inside
    ],
)
def test_overlap_and_likeness(other: list[float], overlap: float, alike: float) -> None:
    one, two = torch.tensor([[SQUARE]]), torch.tensor([[other]])
    assert overlaps(one, two).tolist() == [[[pytest.approx(overlap)]]]
    assert likeness(one, two).tolist() == [[pytest.approx(alike)]]


def one_by_one(boxes: Tensor, labels: Tensor) -> list[bool]:
    near, stays = overlaps(boxes[None], boxes[None])[0] > SAME, [True] * len(boxes)
    for place in range(len(boxes)):
        stays[place] = not any(stays[i] and near[i, place] and labels[i] == labels[place] for i in range(place))
    return stays


def test_what_stays_is_what_stays_box_by_box() -> None:
    draw = torch.Generator().manual_seed(0)
    low = torch.rand(4, 60, 2, generator=draw) * 0.3
    boxes = torch.cat([low, low + 0.2 + 0.2 * torch.rand(4, 60, 2, generator=draw)], 2)
    labels = torch.randint(0, 2, (4, 60), generator=draw)
    stays = distinct(boxes, labels)
    assert stays.tolist() == [one_by_one(*pair) for pair in zip(boxes, labels, strict=True)]
    assert 8 < stays.sum() < 120


def test_the_best_that_differ_come_first_and_zeros_fill_up() -> None:
    box, near, far = [0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.48], [0.6, 0.6, 0.9, 0.9]
    values = torch.tensor([[[*near, 0.8, 0.0], [*far, 0.05, 0.6], [*box, 0.9, 0.7]]])
    told = best(values, 5, 0.3)
    expected = [[*box, 0.9, 0], [*box, 0, 0.7], [*far, 0, 0.6], [0.0] * 6, [0.0] * 6]
    torch.testing.assert_close(told, torch.tensor([expected]))
    assert torch.equal(best(values, 2, 0.0), told[:, :2])
    assert not best(values, 5, 1.0).any()
