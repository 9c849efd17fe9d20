"""Two views of every item, with and without an augmentation."""

import pytest
import torch
from torch import Tensor

from app.ml.objectives.parts.views import lost_in_views, two_views
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.shapes import Shape
from app.ml.text.tokenization import MASK
from tests import words

ROW = Shape("vector", (40,))
PICTURE = Shape("grid", (3, 16, 16), bounded=True)


def views_of(batch: Batch, shape: Shape, share: float | None, *, training: bool) -> list[Roles]:
    return two_views(batch, lost_in_views(batch, shape, share, training=training), shape)


def seen(shape: Shape, values: Tensor, seed: int = 0, *, training: bool = True, share: float | None = None) -> Tensor:
    batch = Batch({"input": {"values": values}}, torch.arange(len(values)), seed)
    return torch.stack([view["input"]["values"] for view in views_of(batch, shape, share, training=training)])


def test_numbers_are_exchanged_for_others_of_their_spread() -> None:
    values = torch.randn(2000, 40)
    first, second = seen(ROW, values, share=0.6)
    assert not torch.equal(first, second)
    hit = first != values
    assert hit.float().mean().item() == pytest.approx(0.6, abs=0.01)
    assert first[hit].mean().item() == pytest.approx(0.0, abs=0.02)
    assert first[hit].std().item() == pytest.approx(1.0, abs=0.02)
    inside = seen(Shape("vector", (40,), bounded=True), torch.rand(50, 40))
    assert inside.min() >= 0
    assert inside.max() <= 1


def test_patches_are_hidden_whole() -> None:
    first, second = seen(PICTURE, torch.full((5, 3, 16, 16), 0.5))
    assert not torch.equal(first, second)
    corners = first[:, 0, ::2, ::2].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(first, corners[:, None].expand(-1, 3, -1, -1))
    assert ((first == 0).float().mean((1, 2, 3)) - 0.3).abs().max() < 0.02


def test_words_are_hidden_and_padding_stays() -> None:
    batch = words.batch(30)
    inputs = batch.roles["input"]
    views = [view["input"] for view in views_of(batch, words.SHAPE, 0.5, training=True)]
    for view in views:
        changed = view["values"] != inputs["values"]
        assert (view["values"][changed] == MASK).all()
        assert changed.any()
        assert not changed[~inputs["mask"]].any()
        assert torch.equal(view["mask"], inputs["mask"])
    assert not torch.equal(views[0]["values"], views[1]["values"])


@pytest.mark.parametrize("shape", [ROW, PICTURE], ids=lambda shape: str(shape.layout))
def test_a_rows_views_do_not_depend_on_the_batch(shape: Shape) -> None:
    values = torch.rand(6, *shape.size)
    whole = seen(shape, values, 4)
    batch = Batch({"input": {"values": values[2:5]}}, torch.arange(2, 5), 4)
    part = torch.stack([view["input"]["values"] for view in views_of(batch, shape, None, training=True)])
    assert torch.equal(part, whole[:, 2:5])
    assert not torch.equal(seen(shape, values, 5), whole)
    assert torch.equal(seen(shape, values, 5, training=False), seen(shape, values, 4, training=False))


def test_a_jobs_augmentation_makes_the_views_where_there_is_one() -> None:
    values = torch.rand(3, 40)
    views = ({"input": {"values": values + 1}}, {"input": {"values": values + 2}})
    batch = Batch({"input": {"values": values}}, torch.arange(3), 0, views)
    assert views_of(batch, ROW, None, training=True) == list(views)
    assert torch.equal(batch.to(torch.device("cpu")).views[1]["input"]["values"], values + 2)


def test_a_picture_of_one_patch_is_left_alone() -> None:
    assert torch.equal(seen(Shape("grid", (1, 1, 1)), torch.ones(2, 1, 1, 1)), torch.ones(2, 2, 1, 1, 1))
