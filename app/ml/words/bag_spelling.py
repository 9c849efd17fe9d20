"""Words as the n-grams that spell them, for bags: inflected and compound words lie near what they are made of.

A text that holds a word holds its n-grams. So n-grams are columns of the texts' matrix beside words and pairs, and when
its directions are found, the vector of a word takes in those of its n-grams: texts are answered by their words alone.
Legend: `V` vocabulary, `F` features, the words first, `G` n-grams, `Q` vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from app.ml.decomposition.factorisation import Apply, Block

GRAM = 0.3
"""Weight of an n-gram beside a word as rare. Then the n-grams of texts weigh about as much as their words: between 0.27
and 0.33 would make them equal on five sets of texts."""


@dataclass(frozen=True)
class Spelling:
    """How much of the vectors of its n-grams each word takes in."""

    words: Block
    """[V, G]"""
    grams: Block
    """The same on its side."""

    @classmethod
    def of(cls, spellings: Mapping[int, Sequence[int]], holding: Tensor, rarity: Tensor, texts: int) -> "Spelling":
        """From the n-grams of each word, whose ids begin at V, how many of the `texts` hold it, and how rare it is [V].

        How many texts hold an n-gram is taken to be the sum over its words: few hold two of them.
        """
        vocabulary = len(holding)
        sizes = torch.zeros(vocabulary, dtype=torch.int64)
        for word, grams in spellings.items():
            sizes[word] = len(grams)
        ids = chain.from_iterable(spellings[word] for word in sorted(spellings))
        columns = torch.from_numpy(np.fromiter(ids, np.int64, int(sizes.sum()))) - vocabulary
        rows = torch.repeat_interleave(sizes)
        count = int(columns.max()) + 1 if len(columns) else 0
        sums = torch.zeros(count).index_add_(0, columns, holding[rows].float())
        weights = GRAM * (1 + torch.log((1 + texts) / (1 + sums.clamp(max=texts))))
        # in a text, a word has its own rarity as its weight
        words = Block.of(rows, columns, weights[columns] / rarity[rows], vocabulary)
        return cls(words, words.transposed(count))

    @property
    def count(self) -> int:
        """G"""
        return len(self.grams.starts) - 1

    def spread(self, vectors: Tensor) -> Tensor:
        """Vectors of features and n-grams [F + G, Q] to those of features, words with what they take in [F, Q]."""
        if not self.count:
            return vectors
        features = len(vectors) - self.count
        whole = vectors[:features].clone()
        whole[: len(self.words.starts) - 1] += self.words.times(vectors[features:])
        return whole

    def around(self, apply: Apply) -> Apply:
        """The products of the texts' features with each other as those of features and n-grams."""
        if not self.count:
            return apply

        def applied(vectors: Tensor) -> Tensor:
            image = apply(self.spread(vectors))
            return torch.cat([image, self.grams.times(image[: len(self.words.starts) - 1])])

        return applied
