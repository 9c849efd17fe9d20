import numpy as np
import pytest
import torch
from torch import nn

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.base import Shape
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.autoencoding import Autoencoder, Autoencoding
from app.ml.objectives.base import Batch, Data, Role

ROWS = np.random.default_rng(0).normal(2, 3, (40, 12)).astype(np.float32)


def network(dimensions: int | None = None, scaling: str = "standard") -> tuple[Autoencoder, Batch]:
    fitted = Vectors.model_validate({"scaling": scaling}).fit([np.abs(ROWS)])
    encoder = Mlp(widths=(16, 6)).build(fitted.shape)
    built = Autoencoding().build({"input": Role(fitted, encoder, dimensions)})
    return built, Batch({"input": fitted.encode(np.abs(ROWS))}, torch.arange(40))


def test_the_loss_sums_each_items_mean_squared_error() -> None:
    built, batch = network(3)
    drawn = built.reconstruct(batch.roles["input"])
    expected = ((drawn - batch.roles["input"]["values"]) ** 2).mean(1).sum()
    loss = built.loss(batch)
    torch.testing.assert_close(loss.sum, expected)
    assert loss.count == 40
    assert built.metrics([batch])["mse"] == pytest.approx(expected.item() / 40)


@pytest.mark.parametrize("dimensions", [None, 6])
def test_without_narrowing_the_code_is_the_features(dimensions: int | None) -> None:
    built, batch = network(dimensions)
    assert isinstance(built.bottleneck, nn.Identity)
    assert torch.equal(built.embed(batch.roles["input"]), built.encoders["input"](batch.roles["input"]).pooled)


def test_bounded_data_is_drawn_within_its_bounds() -> None:
    built, batch = network(2, "unit")
    last = [layer for layer in built.decoder.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.constant_(last.bias, 5.0)
    drawn = built.reconstruct(batch.roles["input"])
    assert 0.9 < drawn.max() <= 1
    assert not network(2)[0].shape.bounded


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (5, 3), (64, 32), (784, 64)])
def test_the_default_code_is_narrower_than_the_item(width: int, expected: int) -> None:
    assert Autoencoding().default_dimensions(Data(Shape("vector", (width,)), rows=100)) == expected


def test_large_pictures_get_convolutions() -> None:
    assert Autoencoding().default_encoder(Shape("vector", (50_000,)))[0] == "mlp"
    assert Autoencoding().default_encoder(Shape("grid", (1, 28, 28)))[0] == "mlp"
    assert Autoencoding().default_encoder(Shape("grid", (3, 64, 20)))[0] == "cnn"
