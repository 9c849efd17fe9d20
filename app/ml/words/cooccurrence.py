"""Which words stand near each other: counted in one pass over the texts, and weighed as a sparse matrix.

A pair of words at distance `d` counts 1 / d (Pennington, Socher & Manning 2014). Frequent words are left out at random
before (subsampling, Mikolov 2013), so that windows reach past them; how frequent a word is, is known from what was
counted until then. Legend: `B` batch, `L` tokens, `V` vocabulary, `T` pairs.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ml.decomposition.factorisation import BLOCK_ENTRIES, Block, Sparse
from app.ml.words.bags import Occurrences
from app.ml.words.counting import Keys, Tally, Weights

MOST_PAIRS = 40_000_000
"""Different pairs that are counted exactly (1 GB while they are merged); beyond them the rarest are forgotten."""
SMOOTHING = 0.875
"""Power of the frequencies of both words of a pair. Levy, Goldberg & Dagan 2015 smooth contexts alone, by 0.75, since
rare ones would seem too telling else; shared out among both words the matrix stays symmetric."""

NEXT = 60
"""What two words side by side count while whole numbers are summed: 1 / d of it is whole up to a distance of 6."""
NOTHING = 1e-5
"""Nats that are rounding alone."""


class Cooccurrences:
    """Weighted counts of pairs of words, and counts of words."""

    def __init__(self, vocabulary: int, *, window: int, subsample: float) -> None:
        self.vocabulary, self.window, self.subsample = vocabulary, window, subsample
        self.words = torch.zeros(vocabulary, dtype=torch.int64)
        """How often each word was read [V]."""
        self._pairs = Tally(MOST_PAIRS)

    def add(self, values: Tensor, mask: Tensor) -> None:
        """Counts texts [B, L]. Draws from torch's global random state."""
        found = Occurrences.of(values, mask, self.vocabulary)
        rows, words = torch.from_numpy(found.rows), torch.from_numpy(found.words)
        self.words += torch.bincount(words, minlength=self.vocabulary)
        share = self.words[words] / self.words.sum()
        bound = max(self.subsample, 1 / max(1, int(self.words.count_nonzero())))  # a few words are all frequent
        kept = torch.rand(len(words)) < (bound / share).sqrt()
        rows, words = rows[kept], words[kept]
        for distance in range(1, min(self.window, len(words) - 1) + 1):
            together = rows[distance:] == rows[:-distance]
            first, second = words[:-distance][together], words[distance:][together]
            keys = torch.minimum(first, second) * self.vocabulary + torch.maximum(first, second)
            self._pairs.add(keys.numpy(), max(1, round(NEXT / distance)))

    def result(self) -> "Pairs":
        """All pairs, in both directions."""
        keys, sums = self._pairs.result()
        sums = sums / np.float32(NEXT)
        first, second = keys // self.vocabulary, keys % self.vocabulary
        apart = first != second
        return Pairs(
            np.concatenate([first, second[apart]]),
            np.concatenate([second, first[apart]]),
            np.concatenate([np.where(apart, sums, 2 * sums), sums[apart]]),
            self.vocabulary,
        )


class Pairs:
    """The entries of a symmetric matrix [V, V] of counts, ordered by their first word."""

    def __init__(self, first: Keys, second: Keys, counts: Weights, vocabulary: int) -> None:
        narrow = first.astype(np.min_scalar_type(vocabulary))  # of two bytes, the order is found in linear time
        order = np.argsort(narrow, kind="stable")
        self.first, self.second, self.counts = first[order], second[order], counts[order]
        self.vocabulary = vocabulary

    def sums(self, values: Weights) -> NDArray[np.float64]:
        """Of the `values` [T] of each first word [V]."""
        return np.bincount(self.first, values, self.vocabulary).astype(np.float64)  # whole numbers where there are none

    def information(self, smoothing: float, unseen: float = 0) -> Weights:
        """Positive pointwise mutual information in nats of every pair [T], frequencies taken to a power.

        It is 0 not at chance but `unseen` nats below, where pairs are taken to stand that were never seen.
        """
        smooth = self.sums(self.counts) ** smoothing
        smooth *= np.sqrt(self.counts.sum(dtype=np.float64)) / max(smooth.sum(), 1e-30)
        often = np.log(np.maximum(smooth, 1e-30)).astype(np.float32)
        found: Weights = np.log(self.counts) - often[self.first] - often[self.second] + np.float32(unseen)
        found[found < NOTHING] = 0
        return found

    def matrix(self, values: Weights) -> Sparse:
        """The matrix with `values` [T] in place of the counts, the first words as rows."""
        first, second, weights = (torch.from_numpy(array) for array in (self.first, self.second, values))
        matrix = Sparse(self.vocabulary)
        blocks = max(1, math.ceil(len(values) / BLOCK_ENTRIES))
        bounds = torch.bincount(first, minlength=self.vocabulary).cumsum(0)
        edges = sorted(set(torch.searchsorted(bounds, torch.arange(1, blocks) * (len(values) // blocks)).tolist()))
        for begin, end in zip([0, *edges], [*edges, self.vocabulary], strict=True):
            inside = slice(int(bounds[begin - 1]) if begin else 0, int(bounds[end - 1]) if end else 0)
            matrix.add(Block.of(first[inside] - begin, second[inside], weights[inside], end - begin))
        return matrix
