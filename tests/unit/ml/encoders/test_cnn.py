import pytest
import torch

from app.ml.encoders.cnn import Cnn
from app.ml.modalities.base import Shape


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
