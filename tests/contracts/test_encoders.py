"""Every encoder: features of the declared shapes, whatever the batch, and a mirror image that draws an item."""

from pathlib import Path

import pytest
import torch

from app.ml.artifact import Artifact
from app.ml.encoders.base import Encoder, EncoderSettings
from app.ml.modalities.base import Modality
from app.ml.objectives.base import Objective
from app.ml.runtime import onnx, portable
from app.ml.runtime.halving import halved
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.shapes import Tensors
from tests.contracts.specimens import ROWS, column, fit, plugins

ALL = [
    pytest.param(encoder, modality, id=f"{encoder.name}-{modality.name}")
    for encoder in plugins("encoders", EncoderSettings)
    for modality in plugins("modalities", Modality)
    if modality.layout in encoder.accepts
]


@pytest.mark.parametrize("encoder", plugins("encoders", EncoderSettings), ids=lambda encoder: str(encoder.name))
def test_accepts_some_modality(encoder: EncoderSettings) -> None:
    assert any(modality.layout in encoder.accepts for modality in plugins("modalities", Modality))


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_features_have_the_declared_shapes(encoder: EncoderSettings, modality: Modality) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape)
    features = built(fitted.encode(column(modality)))
    assert features.pooled.shape == (ROWS, built.width)
    rows, length, width = features.tokens.shape
    assert (rows, width) == (ROWS, built.width)
    assert features.mask is None or features.mask.shape == (ROWS, length)
    assert features.grid is None or features.grid[0] * features.grid[1] == length
    assert features.grid is not None or "grid" not in encoder.capabilities or fitted.shape.layout != "grid"
    sides = [max(level.shape[2:]) for level in features.levels]
    assert sides == sorted(sides, reverse=True)
    assert all(
        len(level) == ROWS and side > max(features.grid or ())
        for level, side in zip(features.levels, sides, strict=True)
    )


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_an_item_does_not_depend_on_its_neighbours(encoder: EncoderSettings, modality: Modality) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape).eval()
    inputs = fitted.encode(column(modality))
    alone = built({name: tensor[2:3] for name, tensor in inputs.items()}).pooled
    torch.testing.assert_close(alone, built(inputs).pooled[2:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_items_are_the_same_with_and_without_their_tokens(encoder: EncoderSettings, modality: Modality) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape).eval()
    inputs = fitted.encode(column(modality))
    torch.testing.assert_close(built.pooled(inputs), built(inputs).pooled)


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_products_of_16_bits_leave_features_close(encoder: EncoderSettings, modality: Modality) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape).eval().requires_grad_(False)
    inputs = fitted.encode(column(modality))
    wanted, given = built(inputs), halved(built)(inputs)
    assert given.pooled.dtype == given.tokens.dtype == torch.float32
    assert torch.cosine_similarity(given.pooled, wanted.pooled).min() > 0.999


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_a_trace_of_one_item_answers_for_all(encoder: EncoderSettings, modality: Modality, tmp_path: Path) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape).eval().requires_grad_(False)
    inputs = fitted.encode(column(modality))
    golden = {"embed": built(inputs).pooled}
    loaded = Artifact(Embedding(built), {}, {}, ["embed"], built.width, "input", inputs, golden, size_bytes=0, extra={})
    onnx.export(loaded, "embed", tmp_path / onnx.FILE)
    assert onnx.faithful(onnx.Session(tmp_path / onnx.FILE, 1), loaded, "embed")


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_a_graph_for_other_programs_takes_raw_and_padded_items(
    encoder: EncoderSettings, modality: Modality, tmp_path: Path
) -> None:
    fitted = fit(modality)
    built = encoder.build(fitted.shape).eval().requires_grad_(False)
    inputs = fitted.encode(column(modality))
    roles, golden = {"input": fitted}, {"embed": built(inputs).pooled}
    loaded = Artifact(Embedding(built), roles, {}, ["embed"], None, "input", inputs, golden, size_bytes=0, extra={})
    portable.write(loaded, tmp_path / portable.FILE)


class Embedding(Objective):
    """An encoder alone, as a network that embeds."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def embed(self, inputs: Tensors) -> torch.Tensor:
        pooled: torch.Tensor = self.encoder(inputs).pooled
        return pooled

    def loss(self, batch: Batch) -> Loss:
        raise NotImplementedError


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_the_mirror_image_draws_an_item(encoder: EncoderSettings, modality: Modality) -> None:
    shape = fit(modality).shape
    built = encoder.build(shape)
    drawn = shape.size if shape.vocabulary is None else (*shape.size, shape.vocabulary)
    for code in (3, built.width):
        assert built.decoder(shape, code)(torch.randn(2, code)).shape == (2, *drawn)


@pytest.mark.parametrize(("encoder", "modality"), ALL)
def test_the_same_seed_gives_the_same_weights(encoder: EncoderSettings, modality: Modality) -> None:
    shape = fit(modality).shape
    built = []
    for _ in range(2):
        torch.manual_seed(3)
        built.append(encoder.build(shape).state_dict())
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])
