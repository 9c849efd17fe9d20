"""What places are to say: the middle its class, the neighbourhood its box, and nothing of a picture without boxes."""

import pytest
import torch

from app.ml.image.centres import assigned, places_of
from app.ml.tensors.shapes import Tensors

GRID = (8, 16)


def target(*boxes: list[float], classes: int = 2) -> Tensors:
    """One picture: x0, y0, x1, y1 and the class of each."""
    values = torch.zeros(1, max(1, len(boxes)), 4 + classes)
    for place, box in enumerate(boxes):
        values[0, place, :4] = torch.tensor(box[:4])
        values[0, place, 4 + int(box[4])] = 1
    return {"values": values, "mask": torch.arange(values.shape[1])[None] < len(boxes)}


def test_places_go_row_by_row() -> None:
    places = places_of(GRID, torch.device("cpu"))
    assert places[[0, 1, 16, -1]].tolist() == [[1 / 32, 1 / 16], [3 / 32, 1 / 16], [1 / 32, 3 / 16], [31 / 32, 15 / 16]]


def test_the_middle_says_the_class_and_less_the_farther_away() -> None:
    found = assigned(target([0.25, 0.25, 0.75, 1.0, 1]), GRID)
    heat = found.heat[0, :, 1].reshape(GRID)
    assert heat[5, 8] == 1
    assert (heat == 1).sum() == 1
    assert 1 > heat[5, 9] > heat[5, 10] > heat[5, 11]
    assert not found.heat[0, :, 0].any()
    knows = found.weight[0] > 0
    assert found.weight.sum() == pytest.approx(1)
    assert (found.boxes[0, knows] == torch.tensor([0.25, 0.25, 0.75, 1.0])).all()


def test_the_smallest_box_has_what_several_claim_and_each_counts_as_much() -> None:
    small, large = [0.4, 0.4, 0.6, 0.6, 0], [0.0, 0.0, 1.0, 1.0, 0]
    found = assigned(target(large, small), GRID)
    middle = int(found.heat[0, :, 0].argmax())
    assert found.boxes[0, middle].tolist() == pytest.approx(small[:4])
    assert found.weight.sum() == pytest.approx(2)


@pytest.mark.parametrize("box", [[0.5, 0.5, 0.501, 0.501, 0], [0.999, 0.0, 1.0, 1.0, 0], [1.0, 1.0, 1.0, 1.0, 0]])
def test_a_box_smaller_than_a_place_has_one(box: list[float]) -> None:
    found = assigned(target(box), GRID)
    assert (found.heat == 1).sum() == 1
    assert found.weight.sum() == pytest.approx(1)


def test_a_picture_without_boxes_says_nothing() -> None:
    found = assigned(target(), GRID)
    assert not found.heat.any()
    assert not found.weight.any()
    assert found.boxes.isfinite().all()
