"""The words that a decoder reads and says: their vectors, how likely each of them is, and those that are never said.

Legend: `D` width of the decoder, `V` vocabulary.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from app.ml.text.frequencies import logs_of
from app.ml.text.tokenization import BEGIN, MASK, PAD, UNKNOWN


class Vocabulary(nn.Module):
    """What words are read as, and the scores of those that follow, with one vector for both (Press & Wolf 2016)."""

    UNSAID: ClassVar[tuple[int, ...]] = (PAD, UNKNOWN, MASK, BEGIN)
    never: Tensor

    def __init__(self, size: int, width: int, *, known: int) -> None:
        """`size` is V; ids from `known` on belong to no word."""
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(size, width))
        self.bias = nn.Parameter(torch.zeros(size))
        never = torch.zeros(size, dtype=torch.bool)
        never[list(self.UNSAID)] = True
        never[known:] = True
        self.register_buffer("never", never, persistent=False)
        """[V], what no text holds."""

    @torch.no_grad()
    def expect(self, counts: Tensor) -> None:
        """From now on words are as likely, before anything is learned, as they are frequent: `counts` [V]."""
        self.bias.copy_(logs_of(counts))

    def read(self, ids: Tensor) -> Tensor:
        """[…] to [..., D]"""
        return embedding(ids, self.vectors)

    def scores(self, following: Tensor) -> Tensor:
        """[…, D] to [..., V]"""
        return linear(following / math.sqrt(following.shape[-1]), self.vectors.to(following.dtype), self.bias).float()
