"""Objectives that rebuild, on words: whatever the length, padding counts for nothing."""

from typing import Any

import pytest
import torch

from app.errors import DoesNotFit
from app.ml.encoders.rnn import Rnn
from app.ml.encoders.transformer import Transformer
from app.ml.objectives.autoencoding import Autoencoder, Autoencoding
from app.ml.objectives.denoising import Denoising
from app.ml.objectives.variational import Variational
from app.ml.operations.reconstruct import item_errors
from tests.words import VOCABULARY, batch, role, shortened, taught

ENCODERS = [Rnn(width=16), Transformer(width=16, depth=1, heads=2)]
OBJECTIVES = [Autoencoding(), Denoising(), Denoising(noise="salt_and_pepper"), Variational(beta=0.01)]


def network(objective: Any, encoder: Any) -> Autoencoder:
    built: Autoencoder = objective.build({"input": role(encoder, 6)})
    return built


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: str(encoder.name))
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: str(objective.name))
def test_texts_are_learned_and_told_again(objective: Any, encoder: Any) -> None:
    built, given = network(objective, encoder), batch()
    inputs = given.roles["input"]
    before = built.eval().loss(given).sum.item() / 6
    assert taught(built, given, 30) < 0.8 * before
    with torch.inference_mode():
        assert built.embed(inputs).shape == (6, 6)
        told, measured = built.reconstruct(inputs), built.metrics([given])
    assert told.shape == inputs["values"].shape
    assert torch.equal(told[~inputs["mask"]], inputs["values"][~inputs["mask"]])
    right = (told == inputs["values"])[inputs["mask"]].float().mean().item()
    assert measured["token_accuracy"] == pytest.approx(right)
    assert 1 <= measured["perplexity"] < VOCABULARY
    wrong = item_errors(told.float().numpy(), {name: tensor.numpy() for name, tensor in inputs.items()})
    assert wrong.shape == (6,)
    assert (wrong @ inputs["mask"].sum(1).numpy()) / inputs["mask"].sum().item() == pytest.approx(1 - right)


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: str(encoder.name))
@torch.inference_mode()
def test_padding_counts_for_nothing(encoder: Any) -> None:
    built, inputs = network(Autoencoding(), encoder).eval(), batch().roles["input"]
    short = {name: tensor[:3] for name, tensor in inputs.items()}
    torch.testing.assert_close(built.embed(short), built.embed(shortened(short, 3)))
    assert torch.equal(built.reconstruct(short)[:, :3], built.reconstruct(shortened(short, 3)))


def test_noise_for_numbers_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="masking"):
        Denoising(noise="gaussian").check({"input": "tokens"})
