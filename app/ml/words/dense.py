"""The sums of bags and of word vectors, with an entry per place of a text: what ONNX has operators for.

Texts of a batch hold different features. To gather what there is of them is faster, and is what a network does but
where it is exported: traced, it would be right for one batch alone. Here a place that holds nothing weighs nothing, and
what a text holds several times is divided by as often.
Legend: `B` batch, `L` tokens, `V` vocabulary, `P` known pairs, `F` features: V + 1 + P, `D` width of a vector.
"""

from typing import Any, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from app.ml.text.tokenization import SPECIALS, UNKNOWN

Ids = TypeVar("Ids", Tensor, NDArray[Any])
LAST = torch.iinfo(torch.int64).max


def bags(values: Tensor, mask: Tensor, pairs: Tensor, rarity: Tensor, table: Tensor, vocabulary: int) -> Tensor:
    """Weighted sums [B, D] of the words and pairs of texts [B, L]; their weights have any length."""
    words = real(values, mask, vocabulary)
    features, there = values, words
    if len(pairs):
        place, known = found(values[:, :-1] * vocabulary + values[:, 1:], pairs)
        features = torch.cat([values, vocabulary + 1 + place], 1)  # [B, 2L - 1]
        there = torch.cat([words, words[:, :-1] & words[:, 1:] & known], 1)
    features = torch.where(there, features, 0)
    rows = torch.arange(values.shape[0])[:, None]
    keys = torch.where(there, features + len(rarity) * rows, -1).flatten()
    _, which, counts = torch.unique(keys, return_inverse=True, return_counts=True)
    times = counts[which].reshape(features.shape).float()
    return summed(torch.where(there, (1 + times.log()) * rarity[features] / times, 0), features, table)


def word_vectors(values: Tensor, mask: Tensor, weight: Tensor, table: Tensor, spelled: int) -> tuple[Tensor, Tensor]:
    """Weighted sums [B, D] of the vectors of words and n-grams, and how many words [B] these are."""
    vocabulary = len(weight)
    words = real(values, mask, vocabulary)
    weights, counts = torch.where(words, weight[torch.where(words, values, 0)], 0), words.sum(1)
    if spelled:
        grams = mask & (values >= vocabulary) & (values < vocabulary + spelled)
        word = (values == UNKNOWN).long().cumsum(1)
        sizes = torch.zeros_like(torch.cat([values, values[:, :1]], 1)).scatter_add(1, word, grams.long())
        weights = weights + torch.where(grams, 1 / sizes.gather(1, word), 0)
        counts = counts + (sizes > 0).sum(1)
    return summed(weights, values, table), counts


def found(keys: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Places of `keys` in `among` [P], which ascend, and whether they are there: binary search, step by step."""
    steps = len(among).bit_length()
    ascending = torch.cat([among, torch.full(((1 << steps) - len(among),), LAST)])
    place = torch.zeros_like(keys)  # so many are smaller
    for step in reversed(range(steps)):
        place = place + torch.where(ascending[place + ((1 << step) - 1)] < keys, 1 << step, 0)
    return place, ascending[place] == keys


def summed(weights: Tensor, features: Tensor, table: Tensor) -> Tensor:
    """[B, D]"""
    return (weights[:, None] @ embedding(features, table))[:, 0]


def real(values: Ids, mask: Ids, vocabulary: int) -> Ids:
    """True for words: no padding, nothing unknown or hidden. In torch or in NumPy."""
    return mask & (values >= len(SPECIALS)) & (values < vocabulary)
