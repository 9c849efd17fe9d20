"""A dictionary of patches tells what lies where in a picture, whatever its light."""

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, normalize

from app.ml.decomposition.components import Shortcut
from app.ml.decomposition.dictionary import Areas, PatchComponents, holds_patches
from app.ml.tensors.shapes import Shape

SHAPE = Shape("grid", (1, 20, 24))


def bars(count: int, seed: int) -> torch.Tensor:
    """Pictures [N, 1, 20, 24] of a bar anywhere, of any brightness; every second one lies, the others stand."""
    random = torch.Generator().manual_seed(seed)
    pictures = 0.02 * torch.rand(count, 1, *SHAPE.size[1:], generator=random)
    for number, picture in enumerate(pictures):
        height, width = (2, 9) if number % 2 == 0 else (9, 2)
        top, left = (
            int(torch.randint(side - long, (), generator=random)) for side, long in ((20, height), (24, width))
        )
        picture[:, top : top + height, left : left + width] += 0.2 + 0.5 * torch.rand((), generator=random)
    return pictures


@pytest.fixture(scope="module")
def filled() -> PatchComponents:
    return learned()


def learned() -> PatchComponents:
    torch.manual_seed(0)
    built = PatchComponents(SHAPE, 8)
    built.fill(lambda: iter(bars(400, 0).chunk(3)))
    return built


def named_rightly(codes: torch.Tensor, others: torch.Tensor) -> float:
    """Share of the others whose nearest code by cosine lies or stands as they do."""
    nearest = (normalize(others) @ normalize(codes).T).argmax(1)
    return float((nearest % 2 == torch.arange(len(others)) % 2).float().mean())


def test_what_lies_and_what_stands_is_told_apart_better_than_by_pixels(filled: PatchComponents) -> None:
    pixels = Shortcut(SHAPE, 8)
    pixels.fill(lambda: iter([bars(400, 0)]))
    asked = bars(100, 1), bars(200, 2)
    told = named_rightly(*map(filled, asked))
    assert told > 0.95
    assert 1 - told < 0.5 * (1 - named_rightly(*map(pixels, asked)))


def test_light_and_contrast_play_no_part(filled: PatchComponents) -> None:
    pictures = bars(20, 3).round(decimals=1)  # without noise, which is contrast too
    codes = filled(pictures)
    changed = filled(pictures * 0.5 + 0.3 * (pictures > 0))
    assert (changed - codes).square().mean() < 0.05 * codes.var(0).mean()


def test_it_is_the_same_every_time_and_after_storing(filled: PatchComponents) -> None:
    again, stored = learned(), PatchComponents(SHAPE, 8)
    stored.load_state_dict(filled.state_dict())
    pictures = bars(5, 5)
    assert torch.equal(filled(pictures), again(pictures))
    assert torch.equal(filled(pictures), stored(pictures))


def test_an_item_does_not_depend_on_its_neighbours(filled: PatchComponents) -> None:
    pictures = bars(33, 6)
    torch.testing.assert_close(filled(pictures)[7:8], filled(pictures[7:8]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 8, 8), (3, 50, 41)])
def test_pictures_of_any_size(size: tuple[int, int, int]) -> None:
    built = PatchComponents(Shape("grid", size), 6)
    pictures = torch.rand(40, *size, generator=torch.Generator().manual_seed(0))
    built.fill(lambda: iter([pictures]))
    codes = built(pictures)
    assert codes.shape == (40, 6)
    assert codes.isfinite().all()
    assert codes.std(0).min() > 0.01


def test_pictures_that_are_all_alike_have_a_code_of_zero() -> None:
    built = PatchComponents(SHAPE, 4)
    pictures = torch.full((10, *SHAPE.size), 0.5)
    built.fill(lambda: iter([pictures]))
    assert built(pictures).abs().max() < 1e-3


def test_areas_are_those_of_adaptive_pooling() -> None:
    grids = torch.rand(2, 3, 30, 25)
    torch.testing.assert_close(Areas((30, 25), (4, 7))(grids), adaptive_avg_pool2d(grids, (4, 7)))


def test_only_pictures_that_are_large_enough_hold_patches() -> None:
    assert holds_patches(Shape("grid", (1, 8, 8)))
    assert not holds_patches(Shape("grid", (1, 7, 40)))
    assert not holds_patches(Shape("grid", (1, 40, 40), aligned=True))
    assert not holds_patches(Shape("vector", (784,)))
