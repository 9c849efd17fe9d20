"""Beam search against every text that there could be, with probabilities that depend on the whole text so far."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from app.ml.text.tokenization import BEGIN, END, PAD, SPECIALS
from app.ml.translation.beam_search import Speaker, search

WORDS = (END, len(SPECIALS), len(SPECIALS) + 1, len(SPECIALS) + 2)
LONGEST = 4


class Remembering(Speaker):
    """Random log-probabilities that are keyed by row and text."""

    def __init__(self, seeds: list[int]) -> None:
        self.seeds = seeds
        self.texts: list[list[tuple[int, ...]]] | None = None

    def following(self, tokens: Tensor) -> Tensor:
        if self.texts is None:
            assert bool((tokens == BEGIN).all())
            self.texts = [[()] * tokens.shape[1] for _ in self.seeds]
        else:
            self.texts = [
                [(*text, int(token)) for text, token in zip(*row, strict=True)]
                for row in zip(self.texts, tokens, strict=True)
            ]
        rows = [[likely(seed, text) for text in row] for seed, row in zip(self.seeds, self.texts, strict=True)]
        return torch.stack([torch.stack(row) for row in rows])

    def turn(self, parents: Tensor) -> None:
        assert self.texts is not None
        self.texts = [[row[place] for place in own] for row, own in zip(self.texts, parents.tolist(), strict=True)]

    def stay(self, rows: Tensor) -> None:
        assert self.texts is not None
        self.seeds = [self.seeds[row] for row in rows.tolist()]
        self.texts = [self.texts[row] for row in rows.tolist()]


def likely(seed: int, text: tuple[int, ...]) -> Tensor:
    draw = torch.Generator().manual_seed(hash((seed, text)) % 2**31)
    scores = torch.full((max(WORDS) + 1,), -math.inf)
    scores[list(WORDS)] = 2 * torch.randn(len(WORDS), generator=draw)
    return scores.log_softmax(0)


def score(seed: int, text: tuple[int, ...], normalisation: float) -> float:
    total = sum(float(likely(seed, text[:place])[token]) for place, token in enumerate((*text, END)))
    return float(total / (len(text) + 1) ** normalisation)


def best_of_all(seed: int, most: int, normalisation: float) -> tuple[int, ...]:
    texts = [text for n in range(1, most + 1) for text in itertools.product(WORDS[1:], repeat=n)]
    return max(texts, key=lambda text: score(seed, text, normalisation))


def found(seeds: list[int], most: list[int], beams: int, normalisation: float = 1.0) -> list[tuple[int, ...]]:
    rows = search(Remembering(seeds), torch.tensor(most), beams, normalisation)
    return [tuple(token for token in row if token != PAD) for row in rows.tolist()]


@pytest.mark.parametrize("normalisation", [0.0, 0.6, 1.0])
def test_many_beams_find_the_best_of_all_texts(normalisation: float) -> None:
    seeds = list(range(20))
    expected = [best_of_all(seed, LONGEST, normalisation) for seed in seeds]
    assert found(seeds, [LONGEST] * 20, 200, normalisation) == expected


def test_one_beam_takes_the_likeliest_word_each_time() -> None:
    for seed in range(20):
        text: tuple[int, ...] = ()
        while len(text) < LONGEST:
            following = likely(seed, text)
            if not text:
                following[END] = -math.inf
            if (token := int(following.argmax())) == END:
                break
            text = (*text, token)
        assert found([seed], [LONGEST], 1) == [text]


def test_more_beams_find_better_texts() -> None:
    means = []
    for beams in (1, 2, 4, 16):
        texts = found(list(range(60)), [LONGEST] * 60, beams)
        means.append(sum(score(seed, text, 1.0) for seed, text in enumerate(texts)))
    assert means == sorted(means)
    assert means[0] < means[-1]


def test_rows_that_have_ended_are_not_continued() -> None:
    class Counting(Remembering):
        def following(self, tokens: Tensor) -> Tensor:
            asked.append(len(tokens))
            return super().following(tokens)

    asked: list[int] = []
    search(Counting(list(range(4))), torch.tensor([1, 1, 1, LONGEST]), 2, 1.0)
    assert asked[:3] == [4, 4, 1]


@pytest.mark.parametrize("beams", [1, 3])
def test_strangers_in_the_batch_change_nothing(beams: int) -> None:
    most = [1, 2, 3, LONGEST] * 5
    together = found(list(range(20)), most, beams)
    assert together == [found([seed], [length], beams)[0] for seed, length in enumerate(most)]
    assert all(1 <= len(text) <= length for text, length in zip(together, most, strict=True))


def test_longer_texts_are_better_off_with_normalisation() -> None:
    short, long = (found(list(range(60)), [LONGEST] * 60, 16, power) for power in (0.0, 1.0))
    assert sum(map(len, short)) < sum(map(len, long))
