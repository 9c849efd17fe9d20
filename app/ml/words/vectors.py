"""A vector per word, and texts as averages of them, weighted by how rare words are (Arora, Liang & Ma 2017).

Unknown words are averages of the vectors of their character n-grams (Bojanowski 2017).
Legend: `B` batch, `L` tokens, `V` vocabulary, `D` width of a vector.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from app.ml.decomposition.factorisation import eigen
from app.ml.text.tokenization import UNKNOWN
from app.ml.words import dense
from app.ml.words.bags import Ids, Occurrences, block, summed

USUAL = 1e-3
"""Share of all words at which a word counts half as much as a rare one (Arora 2017's a)."""


class WordVectors(nn.Module):
    """Rows of length 1 [B, D]. A text of a single known word is that word's vector, in its direction."""

    weight: Tensor
    common: Tensor

    def __init__(self, vocabulary: int, width: int, spelled: int) -> None:
        """`spelled` n-grams come after the words; the last entry is a hidden word's."""
        super().__init__()
        self.vocabulary, self.spelled = vocabulary, spelled
        self.table = nn.Parameter(torch.randn(vocabulary + spelled + 1, width) / width**0.5)
        self.register_buffer("weight", torch.ones(vocabulary))
        self.register_buffer("common", torch.zeros(width))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        sums, counts = self.sums(values, mask)
        shared = (sums @ self.common)[:, None] * self.common
        return normalize(torch.where(counts[:, None] > 1, sums - shared, sums))

    def sums(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted sums [B, D] of the vectors of each text's words, and how many words [B] these are."""
        if torch.onnx.is_in_onnx_export():
            return dense.word_vectors(values, mask, self.weight, self.table, self.spelled)
        found, count = Occurrences.of(values, mask, self.vocabulary), len(values)
        rows, words, counts = found.rows, found.words, np.bincount(found.rows, minlength=count)
        weights = self.weight.cpu().numpy()[words]
        spelled = self._spelled(values, mask)
        if spelled is not None:
            places, grams, shares, unknown = spelled
            order = np.concatenate([rows, places]).argsort(kind="stable")
            rows, words = np.concatenate([rows, places])[order], np.concatenate([words, grams])[order]
            weights, counts = np.concatenate([weights, shares])[order], counts + unknown
        weighted = block(rows, words, weights, count).to(values.device)
        return summed(weighted, self.table), torch.from_numpy(counts).to(values.device)

    def _spelled(self, values: Tensor, mask: Tensor) -> tuple[Ids, Ids, NDArray[Any], Ids] | None:
        """Rows, ids and weights [T] of the n-grams of unknown words, and how many of these each text has [B], if any.

        The n-grams of a word follow its unknown token; together they weigh as much as a rare word.
        """
        ids, real = values.cpu().numpy(), mask.cpu().numpy()
        places = np.flatnonzero(real & (ids >= self.vocabulary) & (ids < self.vocabulary + self.spelled))
        if not len(places):
            return None
        rows = places // ids.shape[1]
        word = np.cumsum(ids == UNKNOWN)[places] + rows  # ids that a client gives may begin with n-grams
        _, first, which, sizes = np.unique(word, return_index=True, return_inverse=True, return_counts=True)
        unknown = np.bincount(rows[first], minlength=len(ids))
        return rows, ids.reshape(-1)[places], 1 / sizes[which], unknown

    def set(self, vectors: Tensor, counts: Tensor) -> None:
        """`vectors` [V, D] and how often each word occurs [V]."""
        self.table.data.zero_()
        self.table.data[: self.vocabulary] = vectors
        self.weight.copy_(USUAL / (USUAL + counts / counts.sum().clamp(min=1)))

    def set_spelled(self, vectors: Tensor) -> None:
        """`vectors` [n-grams, D]"""
        self.table.data[self.vocabulary : -1] = vectors

    def set_common(self, values: Tensor, mask: Tensor) -> None:
        """What texts [B, L] have in common is the leading direction of theirs; it says nothing of any of them."""
        sums = normalize(self.sums(values, mask)[0])
        self.common.copy_(eigen(sums.T @ sums, 1)[0][:, 0])
