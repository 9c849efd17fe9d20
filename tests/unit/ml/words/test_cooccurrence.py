"""Pairs are counted as a plain loop counts them, and weighed as the formula says."""

import numpy as np
import pytest
import torch

from app.ml.text.tokenization import SPECIALS, UNKNOWN
from app.ml.words import cooccurrence
from app.ml.words.cooccurrence import Cooccurrences

FIRST = len(SPECIALS)
V = FIRST + 6


def batch(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    mask = torch.arange(max(map(len, rows))) < torch.tensor([len(row) for row in rows])[:, None]
    values = torch.zeros(mask.shape, dtype=torch.int64)
    values[mask] = torch.tensor([word for row in rows for word in row])
    return {"values": values, "mask": mask}


def counted(rows: list[list[int]], window: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Every pair by hand; unknown words are no words."""
    table = np.zeros((V, V))
    for row in rows:
        words = [word for word in row if word != UNKNOWN]
        for here, word in enumerate(words):
            for there, other in enumerate(words):
                if 0 < abs(here - there) <= window:
                    table[word, other] += 1 / abs(here - there)
    return table


@pytest.mark.parametrize("block", [1, 60, 2_000_000])
def test_counts_and_information_are_those_of_a_plain_loop(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(cooccurrence, "BLOCK", block)
    draw = np.random.default_rng(0)
    rows = [[int(word) for word in draw.integers(FIRST, V, draw.integers(1, 9))] for _ in range(40)]
    rows[3][0] = UNKNOWN
    found = Cooccurrences(V, window=3, subsample=1)
    for first in range(0, 40, 8):
        found.add(**batch(rows[first : first + 8]))
    pairs, words = found.result()

    table = counted(rows, 3)
    counts = np.zeros((V, V))
    counts[pairs.first, pairs.second] = pairs.counts
    assert (np.diff(pairs.first * V + pairs.second) > 0).all()  # in order, and none twice
    np.testing.assert_allclose(counts, table, rtol=1e-5)
    often = table.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = often**0.75 / (often**0.75).sum()
        chance = table.sum() * smooth[None, :] * smooth[:, None]
        information = np.log(table / chance)
    for unseen in (0, 1):
        wanted = np.nan_to_num(np.maximum(0, information + unseen), nan=0, neginf=0)
        matrix = pairs.matrix(pairs.information(0.75, unseen)).product(lambda: None)(torch.eye(V))
        np.testing.assert_allclose(matrix.numpy(), wanted, atol=2e-5)
    assert words.sum() == sum(word != UNKNOWN for row in rows for word in row)


def test_what_counting_raises_reaches_whoever_adds_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cooccurrence, "BLOCK", 1)
    found = Cooccurrences(V, window=2, subsample=1)
    monkeypatch.setattr(found, "_count", full)
    found.add(**batch([[FIRST, FIRST + 1]]))
    with pytest.raises(MemoryError):
        found.add(**batch([[FIRST, FIRST + 1]]))


def test_frequent_words_are_left_out_more_often() -> None:
    torch.manual_seed(0)
    rows = [[FIRST, FIRST + 1 + n % 5] * 4 for n in range(500)]
    found = Cooccurrences(V, window=2, subsample=0.01)
    for first in range(0, 500, 50):
        found.add(**batch(rows[first : first + 50]))
    pairs, words = found.result()
    often = np.bincount(pairs.first, pairs.counts, V)
    assert words[FIRST] == 2000
    assert 0 < often[FIRST] < 0.9 * often[FIRST + 1 :].sum()
