"""Texts as bags of words and of pairs of neighbouring words, weighted by TF-IDF (Spärck Jones 1972, Salton 1988).

The weight of a word is (1 + log how often the text holds it) times (1 + log how rare texts with it are), and the
weights of a text have length 1.
Legend: `B` batch, `L` tokens, `V` vocabulary, `P` known pairs, `F` features: V + 1 + P, `T` features of all texts.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, normalize

from app.ml.decomposition.factorisation import Block
from app.ml.text.tokenization import SPECIALS


class Bags(nn.Module):
    """Rows of length 1 [B, D]: weighted sums of a vector per feature. The one beyond the words is a hidden word's."""

    pairs: Tensor
    rarity: Tensor

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.table = nn.Parameter(torch.randn(vocabulary + 1, width) / width**0.5)
        self.register_buffer("rarity", torch.ones(vocabulary + 1))
        self.register_buffer("pairs", torch.zeros(0, dtype=torch.int64))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        return normalize(summed(self.features(values, mask), self.table))

    def each(self, values: Tensor) -> Tensor:
        """The vector of every word [B, L, D] by itself."""
        return embedding(values.clamp(max=self.vocabulary), self.table)

    def features(self, values: Tensor, mask: Tensor) -> Block:
        """The features of texts [B, L] and their weights; a text without any known one has none."""
        rows, words = occurrences(values, mask, self.vocabulary)
        pair_rows, pairs = neighbours(values, mask, self.vocabulary)
        if len(self.pairs):
            places = torch.searchsorted(self.pairs, pairs).clamp(max=len(self.pairs) - 1)
            known = self.pairs[places] == pairs
            rows = torch.cat([rows, pair_rows[known]])
            words = torch.cat([words, self.vocabulary + 1 + places[known]])
        count = len(self.rarity)
        keys, times = torch.unique(rows * count + words, return_counts=True)
        rows, columns = keys // count, keys % count
        weights = (1 + times.log()) * self.rarity[columns]
        lengths = torch.zeros(len(values), device=values.device).index_add_(0, rows, weights.square())
        return Block.of(rows, columns, weights / lengths.sqrt()[rows].clamp(min=1e-30), len(values))

    def set(self, pairs: Tensor, rarity: Tensor, table: Tensor) -> None:
        """`pairs` [P] ascending, `rarity` [F] and `table` [F, D]."""
        self.pairs, self.rarity, self.table.data = pairs, rarity, table

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # how many pairs there are is known once they have been learned; a table of the right size stays where it lies,
        # since a trainer holds it
        if self.table.shape != state_dict[prefix + "table"].shape:
            self.set(*(torch.empty_like(state_dict[prefix + name]) for name in ("pairs", "rarity", "table")))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def summed(weights: Block, table: Tensor) -> Tensor:
    """The rows of `table` [F, D] in weighted sums [B, D].

    Where a processor reads fewer rows than the table has, and a trainer holds the gradient's memory, the gradient of
    these rows alone is added in place to what is there: one of the whole table took twice the time of all the rest of
    a step, of 16 texts or of 128.
    """
    few = table.device.type == "cpu" and table.grad is not None and len(weights.columns) < len(table)
    return embedding_bag(
        weights.columns,
        table,
        weights.starts,
        mode="sum",
        per_sample_weights=weights.values,
        include_last_offset=True,
        sparse=few,
    )


def occurrences(values: Tensor, mask: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Rows [T] and ids [T] of the real words of `values` [B, L]."""
    rows, places = real(values, mask, vocabulary).nonzero(as_tuple=True)
    return rows, values[rows, places]


def neighbours(values: Tensor, mask: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Rows [T] and keys [T] of two real words side by side: the first one times `vocabulary` + the second."""
    words = real(values, mask, vocabulary)
    rows, places = (words[:, :-1] & words[:, 1:]).nonzero(as_tuple=True)
    return rows, values[rows, places] * vocabulary + values[rows, places + 1]


def real(values: Tensor, mask: Tensor, vocabulary: int) -> Tensor:
    """True for words: no padding, nothing unknown or hidden."""
    return mask & (values >= len(SPECIALS)) & (values < vocabulary)
