"""Rows of different lengths, joined, cut, packed and taken out again."""

import pytest
import torch

from app.ml.tensors.padding import Gathering, Packed, joined, joined_answers, shortened
from app.ml.tensors.shapes import Tensors


def ragged(*lengths: int) -> Tensors:
    """Row `i` holds `10 · length + place`; boxes of two numbers stand beside it, and one number per row."""
    most = max(lengths, default=0)
    mask = torch.arange(most) < torch.tensor(lengths)[:, None]
    values = (10 * torch.tensor(lengths)[:, None] + torch.arange(most)) * mask
    return {
        "values": values,
        "mask": mask,
        "boxes": values[:, :, None].repeat(1, 1, 2),
        "weight": torch.tensor(lengths),
    }


def same(first: Tensors, second: Tensors) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_parts_are_padded_to_the_longest() -> None:
    assert same(joined([ragged(2, 1), ragged(5), ragged(3)]), ragged(2, 1, 5, 3))
    flat = {"values": torch.ones(2, 3)}
    assert joined([flat, flat])["values"].shape == (4, 3)


def test_padding_of_all_rows_is_cut() -> None:
    whole = ragged(2, 1, 5)
    assert same(shortened({name: tensor[:2] for name, tensor in whole.items()}), ragged(2, 1))
    assert shortened(ragged(3))["values"].shape == (1, 3)


def test_packed_rows_come_out_as_they_went_in() -> None:
    packed = Packed.joined([Packed.of(ragged(2, 1, 5)), Packed.of(ragged(4))])
    assert same(packed.take(torch.tensor([1, 3, 0])), ragged(1, 4, 2))
    assert packed.tensors["values"].shape == (12,)
    flat = Packed.joined([Packed.of({"values": torch.arange(3)})] * 2)
    assert flat.take(torch.tensor([4, 0]))["values"].tolist() == [1, 0]


@pytest.mark.parametrize("counts", [(3,), (2, 0, 1), (0, 3), (0,)])
def test_parts_that_are_gathered_are_those_that_are_joined(counts: tuple[int, ...]) -> None:
    rows = sum(counts)
    numbers = torch.arange(2 * rows).view(rows, 2).split_with_sizes(list(counts))
    for parts in (
        [Packed.of({"values": part, "weight": part[:, 0]}) for part in numbers],
        [Packed.of(ragged(*part[:, 0].tolist())) for part in numbers],
    ):
        gathering, whole = Gathering(rows), Packed.joined(parts)
        for part in parts:
            gathering.add(part)
        packed = gathering.packed()
        assert packed.rows == whole.rows == rows
        assert all(torch.equal(packed.tensors[name], values) for name, values in whole.tensors.items())


def test_a_row_without_any_place_is_kept() -> None:
    empty = {"values": torch.zeros(2, 0, 5), "mask": torch.zeros(2, 0, dtype=torch.bool)}
    taken = Packed.of(empty).take(torch.tensor([1]))
    assert taken["values"].shape == (1, 1, 5)
    assert not taken["mask"].any()


def test_answers_as_long_as_their_rows_are_padded() -> None:
    assert joined_answers([torch.ones(2, 3), torch.ones(1, 5)]).sum(1).tolist() == [3, 3, 5]
    assert joined_answers([torch.ones(2, 3), torch.ones(1, 3)]).shape == (3, 3)


def test_runs_are_consecutive_rows_of_few_places_or_one() -> None:
    packed = Packed.of(ragged(2, 1, 3, 9, 1, 1, 1, 1))
    assert [run.tolist() for run in packed.runs(3, places=8)] == [[0, 1], [2], [3], [4, 5, 6], [7]]
    assert [run.tolist() for run in Packed.of({"values": torch.ones(3, 2)}).runs(2, places=100)] == [[0, 1], [2]]
