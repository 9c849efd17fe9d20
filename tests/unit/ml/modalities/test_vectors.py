from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.errors import DoesNotFit, EmptyInput, NonFinite, OutOfRange, RootstockError, WrongShape, WrongType
from app.ml.modalities.parts.rows import FARTHEST, LARGEST, FittedVectors
from app.ml.modalities.vectors import Vectors

DATA = np.random.default_rng(0).normal([1.0, -50.0, 3000.0], [1.0, 10.0, 0.5], (1000, 3)).astype(np.float32)


def fitted(width: int = 3) -> FittedVectors:
    found = Vectors().fit([np.random.default_rng(0).normal(size=(50, width)).astype(np.float32)])
    assert isinstance(found, FittedVectors)
    return found


def named(*names: str) -> Vectors:
    return Vectors().named({"shape": [3], "names": list(names)})


def test_rows_may_be_objects_by_the_names_of_their_columns() -> None:
    modality = named("age", "height", "weight")
    for reader in (modality.fit([DATA]), modality.restore(modality.fit([DATA]).state())):
        assert reader.read({"weight": 3, "age": 1.0, "height": 2}).tolist() == [[1, 2, 3]]
        rows = [{"age": 1, "height": 2, "weight": 3}, [4, 5, 6]]
        assert reader.read(rows).tolist() == reader.read(rows[::-1])[::-1].tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        (
            {"age": 1, "height": 2, "wieght": 3},
            "'wieght', which is no column; the columns are 'age', 'hei",
        ),
        (
            [[1, 2, 3], {"age": 1, "weight": 3}],
            r"input\[1\]: lacks 'height'; the columns are 'age', 'height', 'weight'",
        ),
        ({"age": 1, "height": "tall", "weight": 3}, "input: expected numbers, got 'tall' at position 1 .'height'."),
        ([[1, None, 3]], r"got null at position 1 \('height'\), and the model learned from rows without gaps"),
        ({"age": 1, "height": float("nan"), "weight": 3}, r"nan at position 1 \('height'\) is not a finite number"),
        ({}, "lacks 'age'"),
    ],
    ids=["unknown", "absent", "word", "gap", "no number", "nothing"],
)
def test_objects_that_are_no_rows_are_refused(item: object, error: str) -> None:
    with pytest.raises(RootstockError, match=error):
        named("age", "height", "weight").fit([DATA]).read(item)


@pytest.mark.parametrize(("channels", "said"), [(None, "in one list$"), (2, "in one list, step after step$")])
def test_lists_of_lists_for_a_row_are_told_how_to_lie(channels: int | None, said: str) -> None:
    model = Vectors(channels=channels).fit([np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)])
    with pytest.raises(
        WrongType, match=rf"input\[0\]: expected numbers, got a list at .*; give the 6 numbers .* {said}"
    ):
        model.read([[[1, 2], [3, 4], [5, 6]]])


def test_a_model_without_names_takes_lists_alone() -> None:
    assert named("age", "height").names is None  # a column of several numbers has one name
    with pytest.raises(WrongType, match="columns have no names; give a list of 3 numbers"):
        fitted().read([{"age": 1}])


def test_known_columns_in_another_order_are_refused() -> None:
    model = named("age", "height", "weight")
    with pytest.raises(DoesNotFit, match="column 2 of the dataset is 'weight', and of the model 'height'"):
        model.completed({"shape": [3], "names": ["age", "weight", "height"]})
    for others in (["age", "height", "weight"], ["a", "b", "c"], ["age", "b", "c"]):
        assert model.completed({"shape": [3], "names": others}) == model
    assert model.completed({"shape": [3]}) == model


def encoded(modality: Vectors, rows: np.ndarray) -> np.ndarray:
    values: np.ndarray = modality.fit([rows]).encode(rows)["values"].numpy()
    return values


@pytest.mark.parametrize("scaling", ["auto", "standard"])
def test_standard_gives_mean_zero_and_deviation_one(scaling: str) -> None:
    values = encoded(Vectors.model_validate({"scaling": scaling}), DATA)
    assert values.mean(0) == pytest.approx(np.zeros(3), abs=1e-3)
    assert values.std(0) == pytest.approx(np.ones(3), abs=1e-3)


def test_pieces_teach_the_same_as_the_whole() -> None:
    whole, pieces = (
        Vectors().fit([DATA]).state(),
        Vectors().fit([DATA[:10], DATA[:0], DATA[10:700], DATA[700:]]).state(),
    )
    assert pieces["offset"] == pytest.approx(whole["offset"], rel=1e-12)
    assert pieces["scale"] == pytest.approx(whole["scale"], rel=1e-9)


def test_minmax_maps_the_training_range_to_zero_and_one() -> None:
    values = encoded(Vectors(scaling="minmax"), DATA)
    assert values.min(0) == pytest.approx(np.zeros(3))
    assert values.max(0) == pytest.approx(np.ones(3))


def test_robust_hardly_notices_wild_outliers() -> None:
    wild = DATA.copy()
    wild[:20] = 1e7
    modality = Vectors(scaling="robust")
    calm = modality.fit([DATA]).encode(DATA[500:])["values"]
    disturbed = modality.fit([wild[:300], wild[300:]]).encode(DATA[500:])["values"]
    torch.testing.assert_close(disturbed, calm, rtol=0.1, atol=0.1)
    assert calm.std(0).numpy() == pytest.approx(np.ones(3), abs=0.15)


@pytest.mark.parametrize("scaling", ["standard", "robust", "minmax", "none"])
@pytest.mark.parametrize("far", [2e5, 1e15, 3e38])
def test_the_farthest_outlier_is_cut_and_its_neighbours_are_not(scaling: Any, far: float) -> None:
    """One near the bound, one whose square overflows, and about the largest that is read; alone and among others."""
    learned = Vectors(scaling=scaling).fit([DATA])
    rows = np.concatenate([DATA[:3], np.full((1, 3), -far, np.float32)])
    found, calm, alone = (learned.encode(part)["values"].numpy() for part in (rows, rows[:3], rows[3:]))
    np.testing.assert_array_equal(found, np.concatenate([calm, alone]))
    moved = (rows.astype(np.float64) - learned.state()["offset"]) / learned.state()["scale"]
    limit = LARGEST if scaling == "none" else FARTHEST
    np.testing.assert_allclose(found, moved.clip(-limit, limit), rtol=1e-4, atol=1e-4)


def test_robust_scales_a_column_that_is_mostly_one_value() -> None:
    rows = np.zeros((100, 1), dtype=np.float32)
    rows[:10] = 1000.0
    assert encoded(Vectors(scaling="robust"), rows).max() == pytest.approx(1 / 0.3, rel=1e-3)


def test_unit_divides_by_one_bound_and_cuts_what_lies_beyond() -> None:
    learned = Vectors(scaling="unit").fit([np.array([[0.0, 128.0], [255.0, 3.0]], dtype=np.float32)])
    assert learned.shape.bounded
    values = learned.encode(np.array([[51.0, 510.0], [-3.0, 255.0]], dtype=np.float32))["values"]
    torch.testing.assert_close(values, torch.tensor([[0.2, 1.0], [0.0, 1.0]]))
    assert learned.render(values)[0] == pytest.approx([51.0, 255.0])


@pytest.mark.parametrize("scaling", ["standard", "unit", "none"])
def test_what_is_read_stays_as_it_came(scaling: Any) -> None:
    """Rows are views of a request's body, and are shared by all who look at them."""
    column = np.array([[0.0, 128.0], [255.0, 3.0]], dtype=np.float32)
    learned = Vectors(scaling=scaling).fit([column])
    before = column.copy()
    column.flags.writeable = False
    assert learned.encode(column)["values"].numpy().max() <= 255
    np.testing.assert_array_equal(column, before)


def test_unit_refuses_negative_values() -> None:
    with pytest.raises(OutOfRange, match=r"the smallest is -5\b") as caught:
        Vectors(scaling="unit").fit([np.array([[1.0, -5.0]], dtype=np.float32)])
    assert caught.value.param == "modality.scaling"


def test_none_leaves_rows_as_they_are() -> None:
    rows = np.array([[1e9, -2.5, 0.0]], dtype=np.float32)
    assert np.array_equal(encoded(Vectors(scaling="none"), rows), rows)


@pytest.mark.parametrize("scaling", ["standard", "minmax", "robust", "none", "unit"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-42, 3.3e38])
def test_a_constant_column_divides_by_no_zero(scaling: str, value: float) -> None:
    rows = np.full((30, 2), value, dtype=np.float32)
    rows[:, 1] = np.arange(30)
    learned = Vectors.model_validate({"scaling": scaling}).fit([rows[:7], rows[7:]])
    assert learned.encode(rows)["values"].isfinite().all()
    back = np.array(learned.render(learned.encode(rows)["values"]))
    assert back[:, 0] == pytest.approx(rows[:, 0], rel=1e-5)


@given(arrays(np.float32, (5, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)), st.data())
def test_any_row_encodes_to_finite_values(rows: np.ndarray, data: st.DataObject) -> None:
    scaling = data.draw(st.sampled_from(["standard", "minmax", "robust"]))
    learned = Vectors.model_validate({"scaling": scaling}).fit([rows])
    far = np.array([[3.4e38, -3.4e38, 0.0]], dtype=np.float32)
    for column in (rows, far):
        values = learned.encode(column)["values"]
        assert values.isfinite().all()
        assert np.isfinite(learned.render(values)).all()


def test_no_rows_cannot_be_learned_from() -> None:
    with pytest.raises(OutOfRange, match="no training rows"):
        Vectors().fit([])


def test_a_nan_cannot_be_learned_from() -> None:
    with pytest.raises(NonFinite):
        Vectors().fit([np.array([[1.0], [np.nan]], dtype=np.float32)])


@pytest.mark.parametrize(
    "items",
    [[1, 2.5, -3], [[1, 2.5, -3]], ((1, 2.5, -3),), np.array([1, 2.5, -3]), np.array([[1, 2.5, -3]], np.float16)],
)
def test_reads_a_vector_a_list_or_an_array(items: object) -> None:
    column = fitted().read(items)
    assert column.dtype == np.float32
    assert column.tolist() == [[1.0, 2.5, -3.0]]


GOOD = [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("items", "error", "param", "message"),
    [
        ([1.0, 2.0], WrongShape, "input", "has 2 numbers; the model reads 3"),
        ([GOOD, GOOD, [1.0] * 4], WrongShape, "input[2]", "has 4 numbers; the model reads 3"),
        ([GOOD, []], WrongShape, "input[1]", "has 0 numbers"),
        ([GOOD, 5.0], WrongType, "input[1]", "expected a list of numbers, got a number"),
        ([GOOD, "abc"], WrongType, "input[1]", "got a text"),
        ([1.0, "2", 3.0], WrongType, "input", "got '2' at position 1"),
        ([GOOD, [1.0, True, 3.0]], WrongType, "input[1]", "got true at position 1"),
        ([GOOD, [None, 1.0, 3.0]], WrongType, "input[1]", "got null at position 0"),
        ([GOOD, [1.0, float("nan"), 3.0]], NonFinite, "input[1]", "position 1 is not a finite number"),
        ([1.0, 2.0, 1e39], NonFinite, "input", "beyond the range of 32-bit floats"),
        ([GOOD, [1.0, -(10**400), 3.0]], NonFinite, "input[1]", "position 1"),
        ([], EmptyInput, "input", "is empty"),
        (np.zeros((0, 3)), EmptyInput, "input", "no rows"),
        (np.zeros(2), WrongShape, "input", "has 2 numbers; the model reads 3"),  # as lists are told
        (np.zeros((2, 4)), WrongShape, "input[0]", "has 4 numbers; the model reads 3"),
        (np.zeros((1, 2, 3)), WrongShape, "input", r"shape \[1, 2, 3\]; the model reads \[3\] or \[rows, 3\]"),
        (np.zeros((2, 3), dtype=bool), WrongType, "input", "array of numbers, got one of bool"),
        (np.array([[1.0, 2.0, 1e300]]), NonFinite, "input[0]", "1e\\+300 at position 2"),
        ({"a": 1}, WrongType, "input", "columns have no names"),
        ("text", WrongType, "input", "got a text"),
    ],
)
def test_names_the_item_that_is_wrong(items: object, error: type[RootstockError], param: str, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        fitted().read(items)
    assert type(caught.value) is error
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


def test_columns_that_look_like_pixels_keep_their_common_unit() -> None:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (200, 144)).astype(np.float32)
    pixels[:, :20] = 0
    pixels[:, 20] = pixels[:, 20] > 250  # a rare one, which a scale of its own would make the loudest
    assert encoded(Vectors(), pixels) == pytest.approx(pixels / 255)
    for others in (pixels[:, 20:90], pixels + 1, pixels * draw.uniform(0.1, 1, 144).astype(np.float32)):
        assert Vectors().fit([others]).shape.bounded is False


def test_channels_of_series_are_scaled_over_all_steps() -> None:
    column = (np.random.default_rng(0).normal(0, 1, (50, 6)) * [1, 10, 2, 20, 3, 30] + [0, 5, 1, 6, 2, 7]).astype("f4")
    fitted = Vectors(channels=2).fit([column[:20], column[20:]])
    assert fitted.shape.channels == 2
    values = fitted.encode(column)["values"].reshape(-1, 2)
    torch.testing.assert_close(values.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(2))
    again = Vectors(channels=2).restore(fitted.state())
    assert again.shape == fitted.shape
    torch.testing.assert_close(again.encode(column), fitted.encode(column))
