"""Targets that are no classes: numbers, tags, boxes."""

import numpy as np
import pytest
import torch

from app.errors import DoesNotFit, NonFinite, OutOfRange, RootstockError
from app.ml.modalities.boxes import Boxes, FittedBoxes
from app.ml.modalities.numbers import FittedNumbers, Numbers
from app.ml.modalities.tags import FittedTags, Tags
from app.ragged import Ragged


def numbers(*given: float) -> FittedNumbers:
    return Numbers().fit([np.array(given[:2], np.float32), np.array(given[2:], np.float32)])


def test_numbers_are_standardised_without_the_withheld_ones() -> None:
    fitted = numbers(10, np.nan, 20, np.nan, 30)
    assert fitted.state() == pytest.approx({"mean": 20, "deviation": np.sqrt(200 / 3)})
    values = fitted.encode(np.array([20, 30], np.float32))["values"]
    torch.testing.assert_close(values, torch.tensor([[0.0], [10 / np.sqrt(200 / 3)]], dtype=torch.float32))
    assert fitted.render(values) == [{"value": pytest.approx(20)}, {"value": pytest.approx(30)}]


def test_numbers_far_from_zero_keep_their_digits() -> None:
    fitted = numbers(16_000_001, 16_000_003)
    assert [item["value"] for item in fitted.render(torch.tensor([[-1.0], [1.0]]))] == [16_000_001, 16_000_003]


def test_numbers_that_cannot_be_learned_from() -> None:
    with pytest.raises(OutOfRange, match="all have the number 7"):
        numbers(7, 7, 7)
    with pytest.raises(OutOfRange, match="every training row withholds"):
        numbers(np.nan, np.nan)
    with pytest.raises(NonFinite, match="withholds its number"):
        numbers(1, 2).encode(np.array([1, np.nan], np.float32))
    for wrong in (10**400, float("nan"), 1e39):
        with pytest.raises(NonFinite, match=r"input\[0\]"):
            numbers(1, 2).read([wrong])


def tags() -> FittedTags:
    fitted = Tags().completed({"labels": ["wet", "cold", "dark"]}).fit([Ragged.of([np.array([1, 2], np.int32)])])
    assert isinstance(fitted, FittedTags)
    return fitted


def test_tags_are_one_where_a_row_has_them() -> None:
    rows = Ragged.of([np.array(row, np.int32) for row in ([9], [], [2, 0], [1])])[1:]
    assert tags().encode(rows)["values"].tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_tags_of_an_answer_are_the_likely_ones_best_first() -> None:
    (answer,) = tags().render(torch.tensor([[0.75, 0.25, 1.0]]))
    assert answer == {"labels": ["dark", "wet"], "scores": {"wet": 0.75, "cold": 0.25, "dark": 1.0}}


def test_tags_of_nothing_cannot_be_learned() -> None:
    with pytest.raises(OutOfRange, match="no training row has a tag"):
        Tags(labels=("a",)).fit([Ragged.of([np.zeros(0, np.int32)])])
    with pytest.raises(DoesNotFit, match="known are 'a', 'b'; leave them out"):
        Tags(labels=("a",)).completed({"labels": ["a", "b"]})


def boxes() -> FittedBoxes:
    train = Ragged.of([np.array([[1, 0, 0, 20, 5], [0, 5, 5, 10, 10]], np.float32)])
    fitted = Boxes().completed({"labels": ["cat", "dog"], "picture": [10, 20]}).fit([train])
    assert isinstance(fitted, FittedBoxes)
    return fitted


def test_boxes_are_shares_of_the_picture_with_a_mask() -> None:
    assert boxes().shape.size == (2, 6)
    rows = Ragged.of(
        [np.array(row, np.float32).reshape(-1, 5) for row in ([], [[1, 5, 0, 20, 5]], [[0, 0, 0, 20, 10]] * 3)]
    )
    encoded = boxes().encode(rows)
    assert encoded["mask"].tolist() == [[False] * 3, [True, False, False], [True] * 3]
    assert encoded["values"][1].tolist() == [[0.25, 0, 1, 0.5, 0, 1], [0] * 6, [0] * 6]
    assert boxes().encode(rows[:1])["values"].shape == (1, 1, 6)


def test_boxes_of_an_answer_are_in_pixels_best_first() -> None:
    values = torch.tensor([[[0.0, 0.0, 0.5, 0.5, 0.25, 0.0], [0.5, 0.5, 1.0, 1.0, 0.25, 0.75], [0.0] * 6]])
    assert boxes().render(values) == [
        [
            {"label": "dog", "score": 0.75, "box": [10, 5, 20, 10]},
            {"label": "cat", "score": 0.25, "box": [0, 0, 10, 5]},
        ]
    ]


def test_boxes_of_an_answer_are_told_in_pixels_of_the_pictures_asked_about() -> None:
    values = torch.tensor([[[0.0, 0.0, 0.5, 0.5, 0.25, 0.0]], [[0.5, 0.5, 1.0, 1.0, 0.0, 0.75]]])
    assert boxes().entries(values, [(100, 40), (4, 8)]) == [
        {"boxes": [{"label": "cat", "score": 0.25, "box": [0, 0, 20, 50]}]},
        {"boxes": [{"label": "dog", "score": 0.75, "box": [4, 2, 8, 4]}]},
    ]
    assert boxes().entries(values, None) == [{"boxes": each} for each in boxes().render(values)]
    assert boxes().entries(values, [(10, 20)]) == boxes().entries(values, None)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ({"label": "bat", "box": [0, 0, 1, 1]}, "unknown label 'bat'"),
        ({"label": ["cat"], "box": [0, 0, 1, 1]}, "unknown label"),
        ({"label": "cat", "box": [0, 0, 1]}, "4 numbers"),
        ({"label": "cat", "box": [0, 0, 1, "1"]}, "4 numbers"),
        ({"label": "cat", "box": [0, 0, 1, float("nan")]}, "no place in a picture"),
        ({"label": "cat", "box": [0, 0, 1, 10**400]}, "no place in a picture"),
        ("cat", "expected {"),
    ],
)
def test_a_wrong_box_is_named(box: object, message: str) -> None:
    with pytest.raises(RootstockError, match=message) as caught:
        boxes().read([[{"label": "cat", "box": [0, 0, 1, 1]}], [box]])
    assert caught.value.param == "input[1][0]"


def test_the_size_of_the_pictures_is_the_datasets() -> None:
    with pytest.raises(DoesNotFit, match="10 by 20; leave it out"):
        Boxes(picture=(10, 21)).completed({"labels": ["a"], "picture": [10, 20]})


def test_a_picture_without_a_box_cannot_teach() -> None:
    with pytest.raises(OutOfRange, match="no training picture has a box"):
        Boxes(labels=("a",), picture=(1, 1)).fit([Ragged.of([np.zeros((0, 5), np.float32)])])
