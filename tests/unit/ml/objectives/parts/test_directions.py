"""What tells the targets of texts stands among the directions in which they are read."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.ml.encoders.sentences import SentenceEncoder, Sentences
from app.ml.modalities.base import Fitted
from app.ml.modalities.classes import Classes
from app.ml.modalities.numbers import Numbers
from app.ml.modalities.tags import Tags
from app.ml.modalities.text import Text
from app.ml.objectives.base import Role
from app.ml.objectives.classification import Classification
from app.ml.objectives.parts.directions import Told, halves
from app.ml.objectives.parts.sentences import READ
from app.ml.objectives.parts.supervised import Headed, SupervisedSettings
from app.ml.objectives.regression import Regression
from app.ml.objectives.tagging import Tagging
from app.ml.tensors.batch import Batch, Stream
from app.ragged import Ragged

TEXTS, TOPICS, WIDTH = 400, 12, 8
Values = NDArray[Any] | list[NDArray[Any]]


def texts() -> tuple[list[str], list[int]]:
    """Of a dozen topics, which take up all directions, and about each a word or two that tell what is thought of it."""
    random = np.random.default_rng(0)
    found, liked = [], []
    for _ in range(TEXTS):
        topic, good = int(random.integers(TOPICS)), int(random.integers(2))
        words = [f"t{topic}w{int(random.integers(12))}" for _ in range(10)]
        words[int(random.integers(10))] = f"{'good' if good else 'bad'}{int(random.integers(8))}"
        found.append(" ".join(words))
        liked.append(good)
    return found, liked


def begun(
    settings: SupervisedSettings, target: Fitted, said: list[str], values: Values, width: int = WIDTH
) -> tuple[Headed, Stream]:
    """A network before its first step, which knows the first half; all batches."""
    learned = len(said) // 2
    fitted = Text.model_validate({**READ, "ngrams": 1024}).fit([np.array(said[:learned], object)])
    torch.manual_seed(0)
    encoder = Sentences(dimensions=width).build(fitted.shape)
    network = settings.build({"input": Role(fitted, encoder), "target": Role(target)})
    assert isinstance(network, Headed)

    def batches(first: int, last: int) -> Iterator[Batch]:
        for begin in range(first, last, 50):
            rows = slice(begin, min(begin + 50, last))
            read = fitted.encode(np.array(said[rows], object))
            asked = Ragged.of(values[rows]) if isinstance(values, list) else values[rows]
            yield Batch({"input": read, "target": target.encode(asked)}, torch.arange(begin, rows.stop))

    network.begin(lambda most=None: batches(0, learned))
    network.eval()
    return network, lambda most=None: batches(learned, len(said))


def test_what_tells_classes_is_read_though_texts_differ_more_in_all_else() -> None:
    said, liked = texts()
    names = np.array([("no", "yes")[good] for good in liked], object)
    network, asked = begun(Classification(), Classes().fit([names]), said, names)
    with torch.inference_mode():
        found = network.metrics(asked())
    assert found["accuracy"] > 0.9
    assert found["cross_entropy"] < 0.5  # chance 0.69: the head is not too sure of what it was told


def test_what_tells_numbers_is_read_likewise() -> None:
    said, liked = texts()
    values = np.array(liked, float)
    network, asked = begun(Regression(), Numbers().fit([values]), said, values)
    with torch.inference_mode():
        assert network.metrics(asked())["r2"] > 0.5


def test_each_of_many_tags_is_told_as_one_would_be() -> None:
    said, liked = texts()
    topics = [int(text.split("t")[1].split("w")[0]) for text in said]
    tags = [np.array([topic] + [TOPICS] * good) for topic, good in zip(topics, liked, strict=True)]
    kinds = Tags(labels=(*(f"about {topic}" for topic in range(TOPICS)), "liked", *map(str, range(40))))
    network, asked = begun(Tagging(), kinds.restore({}), said, tags, width=64)
    with torch.inference_mode():
        assert network.metrics(asked())["f1"] > 0.9


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (["a b c"] * 6, ["yes", "no"] * 3),
        (["a b c", "d e f"], ["yes", "no"]),
        (["?"] * 6, ["yes", "no"] * 3),
    ],
    ids=["one text over and over", "one text", "no words"],
)
def test_where_nothing_can_be_told_the_numbers_are_finite(said: list[str], names: list[object]) -> None:
    column = np.array(names, object)
    network, asked = begun(Classification(), Classes().fit([column]), said, column)
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values() if tensor.is_floating_point())
    with torch.inference_mode():
        assert np.isfinite(network.metrics(asked())["cross_entropy"])


def test_of_too_many_features_every_second_batch_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said, liked = texts()
    names = np.array([("no", "yes")[good] for good in liked], object)
    network, asked = begun(Classification(), Classes().fit([names]), said, names)
    encoder = network.encoders["input"]
    assert isinstance(encoder, SentenceEncoder)
    whole = Told.of(encoder.bags, asked)
    monkeypatch.setattr("app.ml.objectives.parts.directions.MOST_ENTRIES", int(0.6 * len(whole.texts.values)))
    part = Told.of(encoder.bags, asked)
    assert part.rows.tolist() == [row for row in whole.rows.tolist() if row // 50 % 2 == whole.rows[0] // 50 % 2]
    assert len(part.targets["values"]) == len(part.rows) == len(part.texts.starts) - 1


def test_halves_are_of_like_size_however_rows_are_chosen() -> None:
    for step in (1, 2, 4, 10):
        assert 0.4 < halves(torch.arange(0, 4000 * step, step)).float().mean() < 0.6
