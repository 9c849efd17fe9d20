"""Datasets are read as one where they are of one kind, and refused by name and reason where they are not."""

from typing import Any

import numpy as np
import pytest

from app.errors import DatasetsDiffer, Invalid, UnknownChoice
from app.ml.jobs.train import JobRequest
from app.ml.modalities.boxes import Boxes
from app.ml.modalities.tags import Tags
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.classification import Classification
from app.ml.resolving.defaults import resolve
from app.ml.resolving.domains import check_classes, shares, together
from app.ragged import Ragged

IDS = ["ds-a", "ds-b"]


def profile(rows: int = 100, modality: str = "vectors", target: Any = None, **facts: Any) -> dict[str, Any]:
    about = {"name": "x", "modality": modality, **facts}
    return {"rows": rows, "splits": {"train": rows, "validation": 0, "test": 0}, "input": about, "target": target}


def labelled(*names: str, rows: int = 100) -> dict[str, Any]:
    counts = {"train": dict.fromkeys(names, rows), "validation": {}, "test": {}}
    target = {"name": "y", "modality": "classes", "classes": dict.fromkeys(names, rows), "missing": 1, "splits": counts}
    return profile(rows * len(names), shape=[4], target=target)


def test_counts_are_added_and_classes_united_by_name() -> None:
    joint = together([labelled("cat", "dog"), labelled("dog", "owl")], IDS, {"input", "target"})

    assert (joint["rows"], joint["splits"]["train"]) == (400, 400)
    assert joint["target"]["classes"] == {"cat": 100, "dog": 200, "owl": 100}
    assert joint["target"]["splits"]["train"] == {"cat": 100, "dog": 200, "owl": 100}
    assert joint["target"]["missing"] == 2


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (profile(shape=[4]), profile(shape=[5]), r"its shape is \[5\], not \[4\]"),
        (profile(shape=[4]), profile(modality="text"), "it is 'text', not 'vectors'"),
        (
            profile(modality="image", shape=[28, 28, 1]),
            profile(modality="image", shape=[28, 28, 3]),
            r"its shape is \[28, 28, 3\]",
        ),
        (
            profile(modality="audio", rate=8000, seconds={"p99": 1.0}),
            profile(modality="audio", rate=16000, seconds={"p99": 1.0}),
            "its rate is 16000, not 8000",
        ),
        (
            profile(shape=[2]) | {"columns": [{"name": name, "plays": "features"} for name in ("length", "width")]},
            profile(shape=[2]) | {"columns": [{"name": name, "plays": "features"} for name in ("width", "length")]},
            "it has a column 'width' where the other has 'length'",
        ),
        (
            profile(shape=[2]) | {"cleaning": {"changed": {"constant_columns": 1}}},
            profile(shape=[2]),
            "the other's constant columns were left out",
        ),
        (
            profile(shape=[1], columns=[{"name": "hue", "kind": "category", "categories": ["red"]}]),
            profile(shape=[1], columns=[{"name": "hue", "kind": "category", "categories": ["blue"]}]),
            "the names of its category 'hue' are not the same",
        ),
    ],
)
def test_what_differs_is_named(one: dict[str, Any], other: dict[str, Any], why: str) -> None:
    with pytest.raises(DatasetsDiffer, match=why) as caught:
        together([one, other], IDS, {"input"})
    assert "ds-b does not go with ds-a as 'input'" in caught.value.message
    assert caught.value.param == "datasets[1].id"


def test_a_role_that_is_not_needed_may_differ() -> None:
    one, other = labelled("cat", "dog"), profile(shape=[4])
    assert together([one, other], IDS, {"input"})["target"]["classes"] == {"cat": 100, "dog": 100}
    with pytest.raises(DatasetsDiffer, match="as 'target': it has none"):
        together([one, other], IDS, {"input", "target"})
    numbers = profile(shape=[4], target={"name": "y", "modality": "numbers", "splits": {"train": 100}})
    assert together([one, numbers], IDS, {"input"})["target"] is None


def test_gaps_of_one_dataset_are_known_of_both() -> None:
    columns = [{"name": "length", "kind": "number"}]
    assert together([profile(shape=[1]), profile(shape=[1], columns=columns)], IDS, {"input"})["input"]["columns"]


def test_positions_of_names_move_to_where_they_stand_among_all() -> None:
    one, other = {"labels": ["cat", "dog"], "splits": {}}, {"labels": ["ant", "dog"], "splits": {}}
    joint = Tags.together(one, other)
    assert joint["labels"] == ["cat", "dog", "ant"]

    tags = Tags.moved(Ragged.of([np.array([0, 1], np.int32), np.array([1], np.int32)]), other, joint)
    assert tags.values.tolist() == [2, 1, 1]
    boxes = Boxes.moved(Ragged.of([np.array([[1, 5, 6, 7, 8]], np.float32)]), other, joint)
    assert boxes.row(0).tolist() == [[1, 5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("weights", "temperature", "expected"),
    [
        ([None, None], 1.0, [0.9, 0.1]),
        ([None, None], 2.0, [0.75, 0.25]),
        ([None, None], 1e6, [0.5, 0.5]),
        ([1.0, 3.0], 1.0, [0.25, 0.75]),
    ],
)
def test_shares(weights: list[float | None], temperature: float, expected: list[float]) -> None:
    assert shares([900, 100], weights, temperature) == pytest.approx(expected, abs=1e-5)


def test_a_job_on_several_datasets_shows_their_shares() -> None:
    body = {"kind": "pretrain", "datasets": [{"id": "ds-a"}, {"id": "ds-b"}], "mixture": {"temperature": 2}}
    found = resolve(JobRequest.validate_python(body), [profile(900, shape=[4]), profile(100, shape=[4])], name="mixed")
    assert [ref.weight for ref in found.spec.datasets] == pytest.approx([0.75, 0.25])
    (choice,) = [choice for choice in found.choices if choice["key"] == "datasets"]
    assert "rows^(1/2)" in choice["reason"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"mixture": {"temperature": 2}}, "mixture"),
        ({"datasets": [{"id": "ds-a", "weight": 1}, {"id": "ds-b", "weight": 2}]}, "datasets[0].weight"),
    ],
)
def test_a_solved_objective_has_no_use_for_shares(more: dict[str, Any], param: str) -> None:
    body = {"kind": "pretrain", "datasets": [{"id": "ds-a"}, {"id": "ds-b"}], "objective": {"name": "pca"}} | more
    with pytest.raises(Invalid, match="reads every row of all datasets once") as caught:
        resolve(JobRequest.validate_python(body), [profile(shape=[4])] * 2, name="mixed")
    assert caught.value.param == param


def test_a_dataset_without_rows_of_use_is_named() -> None:
    empty = labelled("cat", "dog", rows=0)
    body = {"kind": "pretrain", "datasets": [{"id": "ds-a"}, {"id": "ds-b"}], "objective": {"name": "classification"}}
    with pytest.raises(Invalid, match="of dataset ds-b has 0 labelled rows; it needs 2 at least"):
        resolve(JobRequest.validate_python(body), [labelled("cat", "dog"), empty], name="mixed")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"datasets": [{"id": "ds-a", "weight": 1}, {"id": "ds-b"}]}, "every one of the datasets a weight"),
        ({"datasets": [{"id": "ds-a"}], "mixture": {}}, "mixture says how several datasets"),
        ({"dataset": "ds-a", "mixture": {}}, "mixture says how several datasets"),
        ({"datasets": [{"id": "ds-a"}, {"id": "ds-a"}]}, "names one dataset twice"),
        ({"datasets": [{"id": "ds-a"}, {"id": "ds-b"}], "mixture": {"temperature": 0.5}}, "temperature"),
        ({"datasets": [{"id": "ds-a", "weight": 0}, {"id": "ds-b", "weight": 1}]}, "weight"),
    ],
)
def test_a_mixture_that_says_nothing_clear_is_refused(body: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        JobRequest.validate_python({"kind": "pretrain", **body})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_labels_that_no_training_row_has_are_named_with_their_split(split: str) -> None:
    data = labelled("cat", "dog", rows=10)
    check_classes(Classification(), data)
    data["target"]["splits"][split] = {"cat": 3, "bat": 2, "owl": 0, "ant": 1}
    with pytest.raises(
        UnknownChoice, match=rf"3 rows of the split {split}: labelled 'ant', 'bat', as no .* 'cat', 'dog'"
    ):
        check_classes(Classification(), data)
    check_classes(Autoencoding(), data)
