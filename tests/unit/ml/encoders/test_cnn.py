from copy import deepcopy

import pytest
import torch

from app.ml.encoders.cnn import Cnn, Stem
from app.ml.tensors.shapes import Shape


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 28, 28), (7, 7)),
        ((3, 32, 32), (8, 8)),
        ((3, 64, 48), (8, 6)),
        ((1, 8, 8), (4, 4)),
        ((1, 4, 5), (2, 3)),
        ((1, 1, 1), (1, 1)),
        ((2, 17, 3), (5, 1)),
        ((1, 100, 30), (7, 2)),
    ],
)
def test_halves_maps_until_they_are_small_and_draws_every_size_again(
    size: tuple[int, int, int], grid: tuple[int, int]
) -> None:
    shape = Shape("grid", size, bounded=True)
    built = Cnn(width=8).build(shape)
    features = built({"values": torch.rand(2, *size)})
    assert features.grid == grid
    assert features.tokens.shape == (2, grid[0] * grid[1], 32)
    assert features.pooled.shape == (2, 32)
    assert built.decoder(shape, 5)(torch.randn(2, 5)).shape == (2, *size)


def test_more_blocks_make_a_deeper_network_of_the_same_width() -> None:
    shape = Shape("grid", (1, 16, 16))
    counts = [sum(p.numel() for p in Cnn(width=8, blocks=blocks).build(shape).parameters()) for blocks in (1, 2)]
    assert counts[1] > 1.5 * counts[0]
    assert Cnn(width=8, blocks=2).build(shape).width == Cnn(width=8, blocks=1).build(shape).width == 32


def test_the_default_has_256_features() -> None:
    assert Cnn().build(Shape("grid", (1, 28, 28))).width == 256


def test_a_signal_neither_fades_nor_explodes_over_many_blocks() -> None:
    features = Cnn(width=16, blocks=6).build(Shape("grid", (3, 32, 32)))({"values": torch.rand(4, 3, 32, 32)})
    assert 0.1 < features.tokens.std() < 5


@pytest.mark.parametrize(("steps", "channels", "places"), [(128, 1, 8), (60, 3, 8), (1, 4, 1), (7, 1, 4), (1000, 2, 8)])
def test_reads_a_row_as_a_series_and_draws_it_again(steps: int, channels: int, places: int) -> None:
    shape = Shape("vector", (steps * channels,))
    built = Cnn(width=8, channels=channels).build(shape)
    features = built({"values": torch.randn(2, steps * channels)})
    assert features.grid == (1, places)
    assert features.tokens.shape == (2, places, 32)
    assert built.decoder(shape, 5)(torch.randn(2, 5)).shape == (2, steps * channels)


def test_channels_of_a_step_stand_side_by_side() -> None:
    built = Cnn(width=8, channels=2).build(Shape("vector", (64 * 2,))).eval()
    row = torch.zeros(1, 64, 2)
    row[:, 20:30, 1] = 1
    far = built({"values": row.flatten(1)}).tokens - built({"values": torch.zeros(1, 128)}).tokens
    assert far[:, :2].abs().max() > 1e-4, "near where the row differs"
    with torch.no_grad():  # a network that sees the first channel alone does not see the second one
        built.layers[0].weight[:, 1] = 0  # type: ignore[operator]
    same = built({"values": row.flatten(1)}).tokens - built({"values": torch.zeros(1, 128)}).tokens
    assert not same.any()


@pytest.mark.parametrize(
    ("size", "stem"),
    [
        ((1, 28, 28), None),
        ((3, 64, 64), None),
        ((3, 65, 64), 4),
        ((1, 32, 256), 4),
        ((3, 96, 96), 4),
        ((3, 128, 128), 8),
        ((3, 224, 224), 16),
        ((3, 2000, 2000), 16),
    ],
)
def test_the_first_stage_of_large_pictures_reads_no_more_than_that_of_small_ones(
    size: tuple[int, int, int], stem: int | None
) -> None:
    settings, reason = Cnn().default_settings(Shape("grid", size))
    assert settings.get("stem") == stem
    assert bool(reason) == bool(stem)


@pytest.mark.parametrize(("side", "stem"), [(64, None), (128, 4), (512, 4)])
def test_the_first_stage_is_as_fine_as_the_objective_needs(side: int, stem: int | None) -> None:
    settings, _ = Cnn().default_settings(Shape("grid", (3, side, side)), place=4)
    assert settings.get("stem") == stem


@pytest.mark.parametrize("shape", [Shape("grid", (1, 64, 400), aligned=True), Shape("vector", (5000,))])
def test_sounds_and_series_keep_their_first_stage(shape: Shape) -> None:
    assert Cnn().default_settings(shape) == ({}, "")


@pytest.mark.parametrize(
    ("stem", "sides"),
    [(2, [64, 32, 16]), (4, [64, 32, 16]), (8, [64, 32, 16]), (16, [64, 32, 16, 8])],
)
@pytest.mark.parametrize("width", [4, 32])
def test_a_stem_halves_by_steps_and_a_decoder_goes_the_same_way_back(stem: Stem, sides: list[int], width: int) -> None:
    shape = Shape("grid", (3, 128, 120))
    built = Cnn(width=width, stem=stem).build(shape)
    features = built({"values": torch.rand(2, *shape.size)})
    assert [level.shape[2] for level in features.levels] == sides
    assert features.grid == ((8, 8) if stem < 16 else (4, 4))
    assert features.pooled.shape == (2, 4 * width)
    assert built.decoder(shape, 5)(torch.randn(2, 5)).shape == (2, *shape.size)


def test_every_pixel_reaches_the_first_stage() -> None:
    built = Cnn(width=8, stem=8).build(Shape("grid", (1, 64, 64)))
    picture = torch.rand(1, 1, 64, 64, requires_grad=True)
    built({"values": picture}).tokens.sum().backward()
    assert picture.grad is not None
    assert picture.grad.ne(0).all()


@pytest.mark.parametrize(("size", "stem"), [((3, 128, 128), 2), ((1, 32, 32), 2), ((1, 12, 16), 1)])
def test_stored_settings_without_a_stem_are_the_network_that_they_were(size: tuple[int, int, int], stem: Stem) -> None:
    weights = []
    for settings in (Cnn.model_validate({"name": "cnn", "width": 8}), Cnn(width=8, stem=stem)):
        torch.manual_seed(0)
        built = settings.build(Shape("grid", size))
        weights.append({**built.state_dict(), **built.decoder(Shape("grid", size), 4).state_dict(prefix="decoder.")})
    stored, now = weights
    assert stored.keys() == now.keys()
    assert all(torch.equal(stored[name], now[name]) for name in stored)
    assert stored["layers.0.weight"].shape == (8, size[0], 3, 3)
    assert stored["layers.3.first.weight"].shape == (8, 8, 3, 3), "a block comes after one convolution"


def test_maps_of_large_pictures_are_normalised_exactly() -> None:
    """However many pictures there are: kernels that differ with their number added up places one by one."""
    torch.manual_seed(0)
    shape = Shape("grid", (3, 512, 768))
    encoder = Cnn(stem=16).build(shape).eval()
    row = (0.9 + 0.02 * torch.randn(1, 3, 32, 48)).repeat_interleave(16, 2).repeat_interleave(16, 3)
    with torch.no_grad():
        exact = deepcopy(encoder).double().pooled({"values": row.double()}).float()
        for count in (1, 3):
            torch.testing.assert_close(
                encoder.pooled({"values": row.repeat(count, 1, 1, 1)}), exact.repeat(count, 1), rtol=0, atol=5e-5
            )
