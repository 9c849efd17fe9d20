"""Rows with categories and gaps: coded, read from requests, rendered, grafted on and augmented as wholes."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from app.errors import DoesNotFit, RootstockError
from app.ml.augmentations.base import augment
from app.ml.augmentations.vectors import VectorsAugmentation
from app.ml.modalities.base import Fitted
from app.ml.modalities.vectors import Vectors
from app.ml.tensors.batch import Batch

NAN = float("nan")
FACTS: dict[str, Any] = {
    "shape": [4],
    "columns": [
        {"name": "age", "kind": "number"},
        {"name": "height", "kind": "number"},
        {"name": "colour", "kind": "category", "categories": ["blue", "red", "green"]},
        {"name": "size", "kind": "category", "categories": ["S", "L"]},
    ],
    "gaps": True,
}
RAW = np.array([[10, 1.5, 0, 0], [20, 2.0, 1, NAN], [NAN, 2.5, 1, 1], [40, 1.0, NAN, 0], [30, 3.0, 0, 1]], np.float32)
"""No row is green, and no height is absent."""


def fitted(scaling: str = "auto") -> Fitted:
    return Vectors.model_validate({"scaling": scaling}).completed(FACTS).fit([RAW[:2], RAW[2:]])


def test_numbers_are_scaled_by_those_that_are_there_and_gaps_get_the_median() -> None:
    values = fitted().encode(RAW)["values"]

    assert values.shape == (5, 2 + 3 + 2 + 1)
    deviation = np.array([10, 20, 40, 30]).std()
    expected = [(age - 25) / deviation for age in (10, 20, 25, 40, 30)]  # 25 is both mean and median of four ages
    assert values[:, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert values[:, 2:5].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert values[:, 5:7].tolist() == [[1, 0], [0, 0], [0, 1], [1, 0], [0, 1]]
    assert values[:, 7].tolist() == [0, 0, 1, 0, 0]  # only ages had gaps


@pytest.mark.parametrize("scaling", ["auto", "robust", "minmax", "none", "unit"])
def test_what_is_rendered_is_the_row_and_is_read_again(scaling: str) -> None:
    modality = fitted(scaling)
    restored = modality.settings.restore(json.loads(json.dumps(modality.state(), allow_nan=False)))
    values = modality.encode(RAW)["values"]
    rendered = json.loads(json.dumps(restored.render(values)))

    assert rendered[1] == [pytest.approx(20), pytest.approx(2), "red", None]
    assert rendered[2] == [None, pytest.approx(2.5), "red", "L"]
    torch.testing.assert_close(restored.encode(restored.read(rendered))["values"], values)
    torch.testing.assert_close(restored.encode(restored.read(RAW))["values"], values)


def test_requests_give_rows_in_order_or_by_name() -> None:
    modality = fitted()
    alone = modality.read([20, 2, "red", None])
    named = modality.read([{"colour": "red", "age": 20, "height": 2.0}, {"size": "L"}])

    yes = modality.read([True, False, "red", None])

    np.testing.assert_array_equal(alone, RAW[1:2])
    np.testing.assert_array_equal(modality.read([20, 2, " red\t", None]), RAW[1:2])
    np.testing.assert_array_equal(yes, np.array([[1, 0, *RAW[1, 2:]]], np.float32))
    np.testing.assert_array_equal(named, np.array([RAW[1], [NAN, NAN, NAN, 1]], np.float32))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([[1, 2, "pink", "S"]], r"input\[0\]: column 'colour' has no 'pink'; known are 'blue', 'red', 'green'"),
        ([1, 2, 0, "S"], "input: column 'colour' holds names, got 0"),
        ([["x", 2, "red", "S"]], r"input\[0\]: column 'age' holds numbers, got 'x'"),
        ([["", 2, "red", "S"]], r"column 'age' holds numbers, got '', where null says that there is nothing"),
        ([[1, 2, " ", "S"]], r"column 'colour' has no ' ', where null says that there is nothing; known are 'blue'"),
        ([[1, 2, "red"]], r"input\[0\]: has 3 entries; expected 4 entries: 'age', 'height', 'colour', 'size'"),
        ([{"weight": 3}], r"input\[0\]: has 'weight', which is no column; the columns are "),
        ([[1e39, 2, "red", "S"]], "no finite 32-bit number"),
        ([], "give at least one row"),
        ("red", "input: expected 4 entries"),
        (np.array([[1.0, 2.0, 3.0, 0.0]]), "column 'colour' holds categories, by positions from 0 to 2"),
        (np.zeros((1, 3)), "has shape"),
    ],
)
def test_a_wrong_row_gets_a_named_error(wrong: Any, message: str) -> None:
    with pytest.raises(RootstockError, match=message):
        fitted().read(wrong)


def test_a_column_without_any_number_in_training_is_no_number_at_all() -> None:
    empty = RAW.copy()
    empty[:, 0] = NAN
    values = Vectors(scaling="minmax").completed(FACTS).fit([empty]).encode(empty)["values"]

    assert values.isfinite().all()
    assert values[:, 0].tolist() == [0] * 5


def test_other_categories_do_not_fit_a_model() -> None:
    known = Vectors().completed(FACTS)
    others = {**FACTS, "columns": [*FACTS["columns"][:3], {"name": "size", "kind": "category", "categories": ["L"]}]}

    assert known.completed(FACTS) == known
    with pytest.raises(DoesNotFit, match="other columns or categories"):
        known.completed(others)


def test_a_category_is_taken_from_another_row_as_a_whole() -> None:
    modality = fitted()
    batch = Batch({"input": modality.encode(np.tile(RAW, (40, 1)))}, torch.arange(200))
    changed = augment(VectorsAugmentation(swap=0.5), batch, {"input": modality}, seed=0).roles["input"]["values"]

    assert (changed != batch.roles["input"]["values"]).any()
    assert changed[:, 2:5].sum(1).max() <= 1
    assert changed[:, 5:7].sum(1).max() <= 1
    assert (changed[changed[:, 7] == 1][:, 0] == 0).all()  # a gap comes with its median
