import math

import pytest
import torch

from app.ml.encoders.transformer import Transformer
from app.ml.objectives.next_token import LanguageModel, NextToken
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape
from app.ml.text.tokenization import BEGIN, END
from tests import words

SMALL = Transformer(width=32, depth=1, heads=2)


def network() -> LanguageModel:
    return NextToken().build({"input": words.role(SMALL)})


def test_each_token_is_told_from_those_before_it() -> None:
    built = network().eval()
    given = words.batch()
    inputs = given.roles["input"]
    total, count = 0.0, 0
    with torch.inference_mode():
        for row, mask in zip(inputs["values"], inputs["mask"], strict=True):
            text = [BEGIN, *row[mask].tolist(), END][: words.MOST + 1]
            for place in range(1, len(text)):
                seen = {"values": torch.tensor([text[:place]]), "mask": torch.ones(1, place, dtype=torch.bool)}
                scores = built.head(built.encoders["input"](seen, causal=True).tokens[0, -1])
                total -= float(scores.log_softmax(0)[text[place]])
                count += 1
        loss = built.loss(given)
    assert loss.sum.item() == pytest.approx(total, rel=1e-4)
    assert loss.count == count
    assert built.metrics([given])["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)


def test_before_the_first_step_words_are_as_likely_as_they_are_frequent() -> None:
    built, given = network(), words.batch()
    inputs = given.roles["input"]
    built.begin(lambda *_: iter([given, given]))
    likely = built.head.bias.detach().exp()
    counts = torch.bincount(inputs["values"][inputs["mask"]], minlength=len(likely))
    counts[END] += len(inputs["values"])
    assert likely.sum() == pytest.approx(1, abs=1e-5)
    assert likely[counts == 0].max() < likely[counts > 0].min()
    torch.testing.assert_close(likely / likely[END], (2 * counts + 0.5) / (2 * counts[END] + 0.5))


def test_what_always_follows_is_learned() -> None:
    values = torch.arange(5, 11).expand(20, -1).contiguous()
    given = Batch({"input": {"values": values, "mask": torch.ones_like(values, dtype=torch.bool)}}, torch.arange(20))
    built = network()
    assert words.taught(built, given, 60) < 0.3
    with torch.inference_mode():
        assert built.metrics([given])["token_accuracy"] == 1.0


@torch.inference_mode()
def test_an_embedding_does_not_depend_on_padding() -> None:
    built, inputs = network().eval(), words.batch().roles["input"]
    short = {name: tensor[:3] for name, tensor in inputs.items()}
    torch.testing.assert_close(built.embed(short), built.embed(words.shortened(short, 3)))


def test_batches_of_long_texts_with_many_words_are_small() -> None:
    small, large = (
        NextToken().default_training(TrainingData(Shape("tokens", (length,), vocabulary=words_known), rows=50_000))[0]
        for length, words_known in ((32, 500), (512, 8000))
    )
    assert (small["batch_size"], large["batch_size"]) == (128, 32)
    assert small["epochs"] == 4


def test_long_texts_are_passed_fewer_times_and_in_bounded_time() -> None:
    shape = Shape("tokens", (512,), vocabulary=8000)
    short, long, huge = (
        NextToken().default_training(TrainingData(shape, rows=rows, length=length))[0]
        for rows, length in ((2000, 10), (2000, 200), (50_000, 200))
    )
    assert [short["epochs"], long["epochs"], huge["epochs"]] == [50, 2, 1]
    assert [values.get("max_seconds") for values in (short, long, huge)] == [None, None, 600]
