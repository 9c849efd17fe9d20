import numpy as np
import pytest

from app.ml.tensors.finite import all_finite


@pytest.mark.parametrize("values", [[[1.0, -2.0]], [[3e38, -3e38]], [[]]])
def test_numbers_are_finite_however_large(values: list[list[float]]) -> None:
    assert all_finite(np.array(values, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_that_is_not_is_found(value: float) -> None:
    values = np.zeros((3, 4), np.float32)
    values[1, 2] = value
    assert not all_finite(values)
