"""Rows of different lengths: slices are views, chosen rows are copies, none depends on what lies around it."""

import numpy as np
import pytest

from app.ragged import Ragged

ROWS = [np.array([1, 2], np.int16), np.array([], np.int16), np.array([3, 4, 5], np.int16), np.array([6], np.int16)]


def as_lists(ragged: Ragged) -> list[list[int]]:
    return [ragged.row(number).tolist() for number in range(len(ragged))]


def test_rows_come_back_as_they_were() -> None:
    ragged = Ragged.of(ROWS)
    assert as_lists(ragged) == [[1, 2], [], [3, 4, 5], [6]]
    assert ragged.lengths.tolist() == [2, 0, 3, 1]
    assert ragged.values.dtype == np.int16


@pytest.mark.parametrize("cut", [slice(1, 3), slice(None), slice(2, None), slice(3, 1), slice(-2, None)])
def test_a_slice_is_a_view_of_its_rows(cut: slice) -> None:
    ragged = Ragged.of(ROWS)
    assert as_lists(ragged[cut]) == as_lists(ragged)[cut]
    assert np.shares_memory(ragged[cut].values, ragged.values)


def test_rows_are_chosen_by_position_and_by_mask_also_from_a_slice() -> None:
    ragged = Ragged.of(ROWS)[1:]
    assert as_lists(ragged[np.array([2, 0, 1, 1])]) == [[6], [], [3, 4, 5], [3, 4, 5]]
    assert as_lists(ragged[np.array([True, False, True])]) == [[], [6]]
    assert as_lists(ragged[np.array([], np.int64)]) == []


def test_the_values_of_a_slice_and_whose_they_are() -> None:
    ragged = Ragged.of(ROWS)[1:]
    assert ragged.flat.tolist() == [3, 4, 5, 6]
    assert ragged.owners.tolist() == [1, 1, 1, 2]
