"""A vector per word, and texts as averages of them, weighted by how rare words are (Arora, Liang & Ma 2017).

Legend: `B` batch, `L` tokens, `V` vocabulary, `D` width of a vector.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, normalize

from app.ml.bags import occurrences
from app.ml.factorisation import Block, eigen

USUAL = 1e-3
"""Share of all words at which a word counts half as much as a rare one (Arora 2017's a)."""


class WordVectors(nn.Module):
    """Rows of length 1 [B, D]. A text of a single known word is that word's vector, in its direction."""

    weight: Tensor
    common: Tensor

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.table = nn.Parameter(torch.randn(vocabulary + 1, width) / width**0.5)  # the last one is a hidden word's
        self.register_buffer("weight", torch.ones(vocabulary + 1))
        self.register_buffer("common", torch.zeros(width))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        summed, counts = self.sums(values, mask)
        shared = (summed @ self.common)[:, None] * self.common
        return normalize(torch.where(counts[:, None] > 1, summed - shared, summed))

    def sums(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums [B, D] of the vectors of each text's words, and how many words [B] these are."""
        rows, words = occurrences(values, mask, self.vocabulary)
        found = Block.of(rows, words, self.weight[words], len(values))
        summed = embedding_bag(
            found.columns,
            self.table,
            found.starts,
            mode="sum",
            per_sample_weights=found.values,
            include_last_offset=True,
        )
        return summed, found.starts.diff()

    def set(self, vectors: Tensor, counts: Tensor) -> None:
        """`vectors` [V, D] and how often each word occurs [V]."""
        self.table.data[:-1] = vectors
        self.table.data[-1] = 0
        share = counts / counts.sum().clamp(min=1)
        self.weight[:-1] = USUAL / (USUAL + share)

    def set_common(self, values: Tensor, mask: Tensor) -> None:
        """What texts [B, L] have in common is the leading direction of theirs; it says nothing of any of them."""
        sums = normalize(self.sums(values, mask)[0])
        self.common.copy_(eigen(sums.T @ sums, 1)[0][:, 0])
