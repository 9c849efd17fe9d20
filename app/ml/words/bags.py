"""Texts as bags of words and of pairs of neighbouring words, weighted by TF-IDF (Spärck Jones 1972, Salton 1988).

The weight of a word is (1 + log how often the text holds it) times (1 + log how rare texts with it are), and the
weights of a text have length 1.
Legend: `B` batch, `L` tokens, `V` vocabulary, `P` known pairs, `F` features: V + 1 + P, `T` words or features of all
texts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, normalize

from app.ml.decomposition.factorisation import Block
from app.ml.words import dense

Ids = NDArray[np.int64]


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
        if torch.onnx.is_in_onnx_export():
            return normalize(dense.bags(values, mask, self.pairs, self.rarity, self.table, self.vocabulary))
        return normalize(summed(self.features(values, mask), self.table))

    def each(self, values: Tensor) -> Tensor:
        """The vector of every word [B, L, D] by itself."""
        return embedding(values.clamp(max=self.vocabulary), self.table)

    def features(self, values: Tensor, mask: Tensor) -> Block:
        """The features of texts [B, L] and their weights; a text without any known one has none."""
        found, count = Occurrences.of(values, mask, self.vocabulary), len(self.rarity)
        keys, pairs = found.rows * count + found.words, self.pairs.cpu().numpy()
        if len(pairs):
            rows, asked = found.pairs()
            places = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
            known = pairs[places] == asked
            keys = np.concatenate([keys, rows[known] * count + (self.vocabulary + 1) + places[known]])
        keys, times = np.unique(keys, return_counts=True)
        rows, columns = np.divmod(keys, count)
        weights = (1 + np.log(times, dtype=np.float32)) * self.rarity.cpu().numpy()[columns]
        lengths = np.sqrt(np.bincount(rows, np.square(weights), len(values)))
        return block(rows, columns, weights / np.maximum(lengths[rows], 1e-30), len(values)).to(values.device)

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


@dataclass(frozen=True)
class Occurrences:
    """The real words of texts: no padding, nothing unknown or hidden. In NumPy, whose calls are short.

    A text alone has a few dozen words, and what one of torch's calls costs beside its work is all that they cost.
    """

    places: Ids
    """[T] ascending, among all B times L."""
    rows: Ids
    """[T]"""
    words: Ids
    """[T]"""
    vocabulary: int

    @classmethod
    def of(cls, values: Tensor, mask: Tensor, vocabulary: int) -> "Occurrences":
        """Those of texts [B, L]."""
        ids = values.cpu().numpy()
        places = np.flatnonzero(dense.real(ids, mask.cpu().numpy(), vocabulary))
        return cls(places, places // ids.shape[1], ids.reshape(-1)[places], vocabulary)

    def pairs(self) -> tuple[Ids, Ids]:
        """Rows and keys of two words side by side: the first one times `vocabulary` + the second."""
        rows = self.rows
        beside = (np.diff(self.places) == 1) & (rows[1:] == rows[:-1])
        return rows[:-1][beside], (self.words[:-1] * self.vocabulary + self.words[1:])[beside]


def block(rows: Ids, columns: Ids, values: NDArray[Any], count: int) -> Block:
    """From entries ordered by their `rows` [T], which are below `count`."""
    weights = torch.from_numpy(values.astype(np.float32, copy=False))
    return Block.of(torch.from_numpy(rows), torch.from_numpy(columns), weights, count)
