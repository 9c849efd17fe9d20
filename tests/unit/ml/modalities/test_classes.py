import numpy as np
import pytest
import torch

from app.errors import EmptyInput, OutOfRange, UnknownChoice, WrongType
from app.ml.modalities import classes
from app.ml.modalities.classes import Classes, FittedClasses
from app.ml.tensors.shapes import Column


def labels(*given: str | None) -> Column:
    return np.array(given, dtype=object)


def fitted() -> FittedClasses:
    return Classes().fit([labels("owl", None, "cat"), labels("dog", "cat")])


def test_collects_the_labels_of_all_pieces_in_order() -> None:
    assert fitted().labels == ["cat", "dog", "owl"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("10", "9", "-1", "100"), ["-1", "9", "10", "100"]),
        (("10", "9", "x"), ["10", "9", "x"]),
        (("1", "01"), ["01", "1"]),
        (("1.5", "10", "9"), ["1.5", "10", "9"]),
        (("²", "10"), ["10", "²"]),
        (("--1", "0"), ["--1", "0"]),
    ],
)
def test_orders_by_value_when_all_are_whole_numbers(given: tuple[str, ...], expected: list[str]) -> None:
    assert Classes().fit([labels(*given)]).labels == expected


def test_encodes_to_class_numbers() -> None:
    values = fitted().encode(labels("owl", "cat", "owl"))["values"]
    assert values.dtype == torch.int64
    assert values.tolist() == [2, 0, 2]


def test_an_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownChoice, match=r"\['bat'\] are not among .*; known are 'cat', 'dog', 'owl'"):
        fitted().encode(labels("owl", "bat"))


def test_a_missing_label_is_not_taken_for_a_class() -> None:
    with pytest.raises(UnknownChoice, match="None"):
        fitted().encode(labels("owl", None))


def test_one_label_is_too_few() -> None:
    with pytest.raises(OutOfRange, match=r"labels \['a'\]; at least 2"):
        Classes().fit([labels("a", None, "a")])


def test_too_many_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "MOST", 5)
    with pytest.raises(OutOfRange, match="more than 5 different labels"):
        Classes().fit([labels(*"abc"), labels(*"def")])


def test_renders_the_likeliest_label_and_all_scores() -> None:
    rendered = fitted().render(torch.tensor([[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]]))
    assert rendered[0] == {"label": "dog", "score": 0.5, "scores": {"cat": 0.25, "dog": 0.5, "owl": 0.25}}
    assert rendered[1]["label"] == "owl"


def test_reads_labels() -> None:
    assert fitted().read("dog").tolist() == ["dog"]
    assert fitted().read(["dog", "cat"]).tolist() == ["dog", "cat"]
    with pytest.raises(UnknownChoice, match=r"^input\[1\]: unknown label 'bat'"):
        fitted().read(["dog", "bat"])
    with pytest.raises(WrongType, match=r"^input\[0\]: expected a label"):
        fitted().read([7])
    with pytest.raises(EmptyInput):
        fitted().read([])
