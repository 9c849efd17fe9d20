"""Sums with an entry per place are those that torch gathers."""

import pytest
import torch

from app.ml.text.tokenization import MASK, SPECIALS, UNKNOWN
from app.ml.words import dense
from app.ml.words.bags import Bags
from app.ml.words.vectors import WordVectors

VOCABULARY, GRAMS, WIDTH = 12, 8, 6


def texts(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of words, n-grams, unknown and hidden ones, many of them several times; the last text has nothing known."""
    random = torch.Generator().manual_seed(rows)
    values = torch.randint(UNKNOWN, VOCABULARY + GRAMS, (rows, length), generator=random)
    lengths = torch.randint(1, length + 1, (rows,), generator=random)
    mask = torch.arange(length) < lengths[:, None]
    values[-1] = MASK
    return values * mask, mask


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (5, 2), (40, 30)])
@pytest.mark.parametrize("known", [True, False])
def test_bags_are_the_same(rows: int, length: int, *, known: bool) -> None:
    torch.manual_seed(0)
    values, mask = texts(rows, length)
    bags = Bags(VOCABULARY, WIDTH)
    pairs = torch.unique(values[:, :-1] * VOCABULARY + values[:, 1:])[::2].clone() if known else torch.zeros(0).long()
    features = VOCABULARY + 1 + len(pairs)
    bags.set(pairs, torch.rand(features) + 1, torch.randn(features, WIDTH))
    sums = dense.bags(values, mask, bags.pairs, bags.rarity, bags.table, VOCABULARY)
    torch.testing.assert_close(torch.nn.functional.normalize(sums), bags(values, mask))


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (5, 2), (40, 30)])
@pytest.mark.parametrize("spelled", [GRAMS, 0])
def test_word_vectors_are_the_same(rows: int, length: int, spelled: int) -> None:
    torch.manual_seed(0)
    values, mask = texts(rows, length)
    values = values.clamp(max=VOCABULARY + spelled - 1)
    vectors = WordVectors(VOCABULARY, WIDTH, spelled)
    vectors.weight = torch.rand(VOCABULARY)
    found = dense.word_vectors(values, mask, vectors.weight, vectors.table, spelled)
    for answer, wanted in zip(found, vectors.sums(values, mask), strict=True):
        torch.testing.assert_close(answer, wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 100])
def test_the_search_finds_what_is_there_and_nothing_else(count: int) -> None:
    among = torch.arange(count) * 2 + len(SPECIALS)
    keys = torch.arange(2 * count + 2 * len(SPECIALS))
    place, known = dense.found(keys, among)
    assert torch.equal(known, torch.isin(keys, among))
    assert torch.equal(place, torch.searchsorted(among, keys))
