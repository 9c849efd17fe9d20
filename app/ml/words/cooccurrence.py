"""Which words stand near each other: counted in one pass over the texts, and weighed as a sparse matrix.

A pair of words at distance `d` counts 1 / d (Pennington, Socher & Manning 2014). Frequent words are left out at random
before (subsampling, Mikolov 2013), so that windows reach past them; how frequent a word is, is known from what was
counted until then. Legend: `B` batch, `L` tokens, `V` vocabulary, `T` pairs.
"""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ml.decomposition.factorisation import BLOCK_ENTRIES, Block, Sparse
from app.ml.words.bags import Ids, Occurrences
from app.ml.words.counting import Keys, Tally, Weights

MOST_PAIRS = 40_000_000
"""Different pairs that are counted exactly (1 GB while they are merged); beyond them the rarest are forgotten."""
SMOOTHING = 0.875
"""Power of the frequencies of both words of a pair. Levy, Goldberg & Dagan 2015 smooth contexts alone, by 0.75, since
rare ones would seem too telling else; shared out among both words the matrix stays symmetric."""

BLOCK = 2_000_000
"""Words that are counted at once: with fewer, reader and counter would wait for each other more often."""
NEXT = 60
"""What two words side by side count while whole numbers are summed: 1 / d of it is whole up to a distance of 6."""
NOTHING = 1e-5
"""Nats that are rounding alone."""


class Cooccurrences:
    """Weighted counts of pairs of words, and counts of words, taken on a thread of their own."""

    def __init__(self, vocabulary: int, *, window: int, subsample: float) -> None:
        self.vocabulary, self.window, self.subsample = vocabulary, window, subsample
        self._words = np.zeros(vocabulary, np.int64)
        self._pairs = Tally(MOST_PAIRS)
        self._texts = self._waiting = 0
        self._read: list[tuple[Ids, Ids]] = []
        self._thread = ThreadPoolExecutor(1)
        self._counting: Future[None] | None = None

    def add(self, values: Tensor, mask: Tensor) -> None:
        """Texts [B, L], to be counted while the caller reads on. Draws from torch's global random state.

        Raises what counting those before raised.
        """
        found = Occurrences.of(values, mask, self.vocabulary)
        self._read.append((found.rows + self._texts, found.words))
        self._texts += len(values)
        self._waiting += len(found.words)
        if self._waiting >= BLOCK:
            self._go_on()

    def result(self) -> tuple["Pairs", Tensor]:
        """All pairs, and how often each word was read [V]."""
        self._go_on()
        self._wait()
        keys, sums = self._pairs.result()
        first, second = np.divmod(keys, self.vocabulary)
        return Pairs.both_ways(first, second, sums / np.float32(NEXT), self.vocabulary), torch.from_numpy(self._words)

    def _go_on(self) -> None:
        self._wait()
        if self._waiting:
            rows, words = (np.concatenate(parts) for parts in zip(*self._read, strict=True))
            self._counting = self._thread.submit(self._count, rows, words, torch.rand(self._waiting).numpy())
            self._read, self._waiting = [], 0

    def _wait(self) -> None:
        if self._counting is not None:
            self._counting.result()

    def _count(self, rows: Ids, words: Ids, draws: Weights) -> None:
        self._words += np.bincount(words, minlength=self.vocabulary)
        share = self._words / self._words.sum()
        bound = max(self.subsample, 1 / np.count_nonzero(share))  # a few words are all frequent
        kept = draws < np.sqrt(bound / np.maximum(share, 1e-30))[words]
        rows, words = rows[kept], words[kept]
        for distance in range(1, min(self.window, len(words) - 1) + 1):
            together = rows[distance:] == rows[:-distance]
            first, second = words[:-distance][together], words[distance:][together]
            keys = np.minimum(first, second) * self.vocabulary + np.maximum(first, second)
            self._pairs.add(keys, max(1, round(NEXT / distance)))


@dataclass(frozen=True)
class Pairs:
    """The entries of a symmetric matrix [V, V] of counts, in the order of its rows."""

    first: Keys
    second: Keys
    counts: Weights
    vocabulary: int

    @classmethod
    def both_ways(cls, first: Keys, second: Keys, counts: Weights, vocabulary: int) -> "Pairs":
        """From the upper half of it, in order; a word beside itself counts for either of both."""
        apart = np.flatnonzero(first != second)
        narrow = second[apart].astype(np.min_scalar_type(vocabulary))  # of two bytes, the order is found in linear time
        mirrored = apart[np.argsort(narrow, kind="stable")]
        sizes = np.stack([np.bincount(half, minlength=vocabulary) for half in (narrow, first)], 1)
        below = np.repeat(np.tile([True, False], vocabulary), sizes.ravel())  # a row begins with what is mirrored

        def whole(lower: NDArray[Any], upper: NDArray[Any]) -> NDArray[Any]:
            entries = np.empty(len(below), upper.dtype)
            entries[below], entries[~below] = lower[mirrored], upper
            return entries

        rows = np.repeat(np.arange(vocabulary), sizes.sum(1))
        doubled = np.where(first == second, 2 * counts, counts)
        return cls(rows, whole(first, second), whole(counts, doubled), vocabulary)

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
