"""What is hidden is not seen, what is visible is not judged."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from app.errors import OutOfRange
from app.ml.encoders.cnn import Cnn
from app.ml.encoders.mlp import Mlp
from app.ml.encoders.rnn import Rnn
from app.ml.encoders.transformer import Transformer
from app.ml.modalities.image import Image
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.masked import Masked
from app.ml.objectives.parts.masked_networks import MaskedNetwork
from app.ml.tensors.batch import Batch
from app.ml.text.tokenization import MASK, SPECIALS
from tests import words
from tests.networks import pictures, rows

SMALL = Transformer(width=16, depth=1, heads=2)


def network(modality: Any, column: Any, encoder: Any, **settings: Any) -> tuple[MaskedNetwork, Batch]:
    torch.manual_seed(0)
    fitted = modality.fit([column])
    role = Role(fitted, encoder.build(fitted.shape), 6)
    batch = Batch({"input": fitted.encode(column)}, torch.arange(len(column)), 3)
    return Masked.model_validate(settings).build({"input": role}).eval(), batch


SEEN = [
    pytest.param(Vectors(), rows(20), Mlp(widths=(16,)), id="vectors"),
    pytest.param(Image(), pictures(20), SMALL, id="patches"),
    pytest.param(Image(), pictures(20), Cnn(width=8), id="pictures"),
    pytest.param(Image(), pictures(20), Rnn(width=8), id="columns"),
]


def text(encoder: Any) -> tuple[MaskedNetwork, Batch]:
    return Masked().build({"input": words.role(encoder, 6)}).eval(), words.batch(30)


def changed(values: Tensor, where: Tensor) -> Tensor:
    other = (values + 1) % words.VOCABULARY if values.dtype == torch.int64 else values + 1
    return torch.where(where, other, values)


def test_before_the_first_step_words_are_as_likely_as_they_are_frequent() -> None:
    built, batch = text(SMALL)
    inputs = batch.roles["input"]
    built.begin(lambda *_: iter([batch]))
    scores = [layer for layer in built.modules() if isinstance(layer, torch.nn.Linear)][-1]
    counts = torch.bincount(inputs["values"][inputs["mask"]], minlength=words.VOCABULARY) + 0.5
    torch.testing.assert_close(scores.bias.detach().exp(), counts / counts.sum())


@pytest.mark.parametrize(("modality", "column", "encoder"), SEEN)
@torch.inference_mode()
def test_the_hidden_are_judged_and_not_seen(modality: Any, column: Any, encoder: Any) -> None:
    built, batch = network(modality, column, encoder)
    inputs = batch.roles["input"]
    where = built.hide(batch)
    covered = built.covered(where)
    told = built.told(built.show(inputs, where), where, built.hidden)
    other = {"values": changed(inputs["values"], covered)}
    torch.testing.assert_close(built.told(built.show(other, where), where, built.hidden), told)
    other = {"values": changed(inputs["values"], ~covered)}
    assert not torch.allclose(built.told(built.show(other, where), where, built.hidden), told)
    error = ((told - inputs["values"]).square() * covered).sum() / covered.sum()
    assert built.loss(batch).sum.item() / 20 == pytest.approx(error.item(), rel=0.02)


@pytest.mark.parametrize(("modality", "column", "encoder"), SEEN)
@torch.inference_mode()
def test_a_part_is_reconstructed_from_the_others(modality: Any, column: Any, encoder: Any) -> None:
    built, batch = network(modality, column, encoder)
    inputs = batch.roles["input"]
    other = {"values": inputs["values"].clone()}
    other["values"].flatten(1)[:, 0] += 1
    before, after = built.reconstruct(inputs), built.reconstruct(other)
    torch.testing.assert_close(after.flatten(1)[:, 0], before.flatten(1)[:, 0])
    assert not torch.allclose(after, before)


@pytest.mark.parametrize("encoder", [SMALL, Rnn(width=8)], ids=lambda encoder: str(encoder.name))
def test_hidden_words_are_learned(encoder: Any) -> None:
    built, batch = text(encoder)
    before = built.loss(batch).sum.item() / 30
    assert words.taught(built, batch, 40) < 0.8 * before
    inputs = batch.roles["input"]
    with torch.inference_mode():
        measured = built.metrics([batch])
        told = built.reconstruct(inputs)
        short = words.shortened({name: tensor[:3] for name, tensor in inputs.items()}, 3)
        assert torch.equal(built.reconstruct(short), told[:3, :3])
    assert 1 <= measured["perplexity"] < words.VOCABULARY
    assert torch.equal(told[~inputs["mask"]], inputs["values"][~inputs["mask"]])


def test_most_hidden_words_are_shown_as_hidden_some_as_others_some_as_they_are() -> None:
    built, _ = text(SMALL)
    built.train()
    values = torch.full((3000, 8), 7)
    batch = Batch({"input": {"values": values}}, torch.arange(3000), 1)
    where = torch.ones_like(values, dtype=torch.bool)
    shown = built.disguise(batch, where)["values"]
    shares = [shown == MASK, shown == 7, (shown != MASK) & (shown != 7)]
    known = words.VOCABULARY - len(SPECIALS)
    expected = [0.8, 0.1 + 0.1 / known, 0.1 * (known - 1) / known]
    assert [share.float().mean().item() for share in shares] == pytest.approx(expected, abs=0.01)


def test_validation_always_hides_the_same_and_training_does_not() -> None:
    built, batch = network(Vectors(), rows(20), Mlp(widths=(16,)))
    other = Batch(batch.roles, batch.rows, batch.seed + 1)
    assert torch.equal(built.hide(batch), built.hide(other))
    built.train()
    assert not torch.equal(built.hide(batch), built.hide(other))


@pytest.mark.parametrize("ratio", [0, 1, 1.5, math.nan])
def test_hiding_nothing_or_all_is_refused(ratio: float) -> None:
    with pytest.raises(ValidationError):
        Masked(mask_ratio=ratio)


def test_items_of_one_part_are_refused() -> None:
    with pytest.raises(OutOfRange, match="a single one"):
        network(Vectors(), rows(20, 1), Mlp(widths=(4,)))
    with pytest.raises(OutOfRange, match="smaller patches"):
        network(Image(), np.zeros((4, 8, 8, 1), np.uint8), Transformer(width=16, heads=2, patch=8))
