"""Judgements of words are read by name and line, and counted as people would count them."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from app.errors import OutOfRange, RootstockError, WrongShape, WrongType
from app.ml.modalities.text import FittedText, Text
from worker.evaluation import words

CAPITALS = {"athens": [1.0, 1, 0, 0], "greece": [0.0, 1, 0, 0], "rome": [1.0, 0, 1, 0], "italy": [0.0, 0, 1, 0]}


@pytest.fixture(scope="module")
def fitted() -> FittedText:
    column = np.empty(3, dtype=object)
    column[:] = ["athens greece rome italy", "rome italy oslo", "athens greece paris"]
    return Text(tokenizer="words").fit([column])


def embed(asked: Sequence[str]) -> Tensor:
    return torch.tensor([CAPITALS.get(word, [0.3, 0.3, 0.3, 1]) for word in asked])


def test_files_as_they_are_published_are_read() -> None:
    pairs = words.pairs_of("# WordSim\nlove\tsex\t6.77\ntiger, cat, 7.35\n\nold new 1.58 JJ\n")
    assert pairs == [("love", "sex", 6.77), ("tiger", "cat", 7.35), ("old", "new", 1.58)]
    assert words.pairs_of("word1,word2,score\na,b,1\nc,d,2") == [("a", "b", 1.0), ("c", "d", 2.0)]
    assert words.analogies_of(": capitals\nAthens Greece Rome Italy\n") == [("Athens", "Greece", "Rome", "Italy")]


@pytest.mark.parametrize(
    ("read", "text", "error", "message"),
    [
        (words.pairs_of, "a\tb\t1\nc\td", WrongShape, "line 2 has 2 fields"),
        (words.pairs_of, "a\tb\t1\nc\td\tmuch", WrongType, "line 2 has 'much'"),
        (words.pairs_of, "a b 1", OutOfRange, "has 1 pairs"),
        (words.pairs_of, "a b 1\nc d nan", WrongType, "line 2 has 'nan'"),
        (words.analogies_of, "a b c d\na b c", WrongShape, "line 2 has 3 words"),
        (words.analogies_of, ": nothing", OutOfRange, "has none"),
    ],
)
def test_faults_are_named_with_their_line(read: object, text: str, error: type[RootstockError], message: str) -> None:
    assert callable(read)
    with pytest.raises(error, match=message):
        read(text)


def test_the_rank_correlation_is_spearmans() -> None:
    drawn = np.random.default_rng(0)
    one, other = drawn.integers(0, 6, 50).astype(float), drawn.normal(size=50)
    told = words.rank_correlation(torch.tensor(one), torch.tensor(other))
    assert told == pytest.approx(spearmanr(one, other)[0])
    assert words.rank_correlation(torch.ones(3), torch.arange(3.0)) is None


def test_unknown_words_are_left_out_and_counted(fitted: FittedText) -> None:
    tests = words.WordTests(
        pairs=[("Athens", "Greece", 9.0), ("Rome", "Greece", 1.0), ("Rome", "Atlantis", 3.0)],
        analogies=[("Athens", "Greece", "Rome", "Italy"), ("Athens", "Greece", "Atlantis", "Italy")],
    )
    told = words.metrics(tests, fitted, embed)
    assert (told["word_pairs"], told["word_pairs_known"], told["word_similarity"]) == (3, 2, pytest.approx(1.0))
    assert (told["analogies"], told["analogies_known"], told["analogy_accuracy"]) == (2, 1, 1.0)


def test_where_no_word_is_known_there_is_no_figure(fitted: FittedText) -> None:
    tests = words.WordTests([("x", "y", 1.0), ("z", "y", 2.0)], [("x", "y", "z", "x")])
    told = words.metrics(tests, fitted, embed)
    assert told["word_similarity"] is told["analogy_accuracy"] is None
    assert told["word_pairs_known"] == told["analogies_known"] == 0


def test_an_analogy_that_another_word_answers_is_wrong(fitted: FittedText) -> None:
    tests = words.WordTests(analogies=[("Athens", "Greece", "Rome", "Oslo")])
    assert words.metrics(tests, fitted, embed)["analogy_accuracy"] == 0.0
