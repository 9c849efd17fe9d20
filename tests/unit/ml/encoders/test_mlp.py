import pytest
import torch
from pydantic import ValidationError
from torch import nn

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.base import Role
from app.ml.tensors.shapes import Shape

PIXELS = Shape("vector", (784,), bounded=True)


def kinds(network: nn.Module) -> list[object]:
    """Layers in order; linear ones as (inputs, outputs)."""
    leaves = [module for module in network.modules() if not list(module.children())]
    return [(leaf.in_features, leaf.out_features) if isinstance(leaf, nn.Linear) else type(leaf) for leaf in leaves]


def test_the_reference_network_is_the_classic_one() -> None:
    rows = torch.rand(4, 784).numpy()
    fitted = Vectors(scaling="unit").fit([rows])
    network = Autoencoding().build({"input": Role(fitted, Mlp(preset="reference").build(fitted.shape), 8)})
    relu = nn.ReLU
    assert kinds(network.encoders["input"]) == [(784, 128), relu, (128, 64), relu, (64, 32), relu, (32, 16), relu]
    assert kinds(network.bottleneck) == [(16, 8)]
    assert kinds(network.decoder) == [
        *[(8, 16), relu, (16, 32), relu, (32, 64), relu, (64, 128), relu, (128, 784), nn.Unflatten]
    ]
    inputs = fitted.encode(rows)
    code = network.embed(inputs)
    assert (code < 0).any(), "no activation may stand on the code"
    torch.testing.assert_close(network.reconstruct(inputs), torch.sigmoid(network.decoder(code)))


def test_the_default_normalises_before_it_activates() -> None:
    built = Mlp().build(PIXELS)
    norm, gelu = nn.LayerNorm, nn.GELU
    assert kinds(built) == [(784, 512), norm, gelu, (512, 256), norm, gelu, (256, 128), norm, gelu]
    assert built.width == 128


def test_a_preset_fills_what_is_not_given() -> None:
    assert Mlp.model_validate({"preset": "nano"}).widths == (64, 32)
    mixed = Mlp.model_validate({"preset": "reference", "activation": "tanh"})
    assert (mixed.widths, mixed.activation, mixed.norm) == ((128, 64, 32, 16), "tanh", "none")


@pytest.mark.parametrize(
    "given", [{"preset": "huge"}, {"preset": ["nano"]}, {"widths": []}, {"widths": [0]}, {"dropout": 1}]
)
def test_impossible_settings_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mlp.model_validate(given)


@pytest.mark.parametrize("preset", ["reference", None])
def test_pieces_of_numbers_are_read_beside_the_numbers(preset: str | None) -> None:
    """And rows are rebuilt by the numbers alone, whatever the layers are."""
    rows = torch.randn(40, 5)
    fitted = Vectors().fit([rows.numpy()])
    built = Mlp.model_validate({"preset": preset, "pieces": 6}).build(fitted.shape)
    assert built.settles
    assert kinds(built)[1] == (5 + 5 * 6, built.settings.widths[0])
    network = Autoencoding().build({"input": Role(fitted, built, 3)})
    inputs = fitted.encode(rows.numpy())
    before = network.embed(inputs)
    built.settle(inputs["values"], lambda share: None)
    assert not torch.allclose(network.embed(inputs), before)
    ways = network.bottleneck, network.decoder
    assert torch.equal(built.redrawn(inputs, *ways), network.decoder(network.bottleneck(built(inputs).pooled)))
    assert built.chain(*ways) is None
    assert not Mlp().build(fitted.shape).settles


def test_dropout_acts_in_training_only() -> None:
    built = Mlp(dropout=0.5).build(PIXELS)
    inputs = {"values": torch.rand(3, 784)}
    assert not torch.equal(built(inputs).pooled, built(inputs).pooled)
    built.eval()
    assert torch.equal(built(inputs).pooled, built(inputs).pooled)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "tanh"])
def test_a_signal_neither_fades_nor_explodes_without_norms(activation: str) -> None:
    settings = Mlp.model_validate({"widths": [256] * 8, "activation": activation, "norm": "none"})
    outputs = settings.build(Shape("vector", (256,)))({"values": torch.randn(64, 256)}).pooled
    assert 0.05 < outputs.std() < 5


def test_the_code_that_is_the_features_is_not_projected_again() -> None:
    assert kinds(Mlp(widths=(32, 16), norm="none").build(PIXELS).decoder(PIXELS, 16))[0] == (16, 32)
    assert kinds(Mlp(widths=(32, 16), norm="none").build(PIXELS).decoder(PIXELS, 4))[0] == (4, 16)
