"""Texts as averages of word vectors beside their weighted words and pairs: what sentence embeddings fill.

Legend: `B` batch, `L` tokens, `D` width of the features.
"""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.encoders.linear import WIDEST_OF_TEXT, BagDecoder
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.words.bags import Bags
from app.ml.words.vectors import WordVectors


class Sentences(EncoderSettings):
    """Which words and pairs of words a text holds, and beside it, in the last eighth, the average of its words."""

    name: Literal["sentences"] = "sentences"
    """Averages of words beside weighted words and pairs."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"tokens"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"sentences"})

    dimensions: int | None = Field(None, ge=2, le=65536)
    """Width of the embedding; 256 by default."""

    def build(self, shape: Shape) -> "SentenceEncoder":
        return SentenceEncoder(shape, self.dimensions or WIDEST_OF_TEXT)


class SentenceEncoder(Encoder):
    """Tokens are the words' vectors of both parts; `pooled` has length 1."""

    looks_up = True
    informed = True
    trust: Tensor
    """Length of the average beside the bag, whose length is 1."""

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.width, self.unit = width, True
        average = averaged(width)
        self.bags = Bags(shape.words, width - average)
        self.words = WordVectors(shape.words, average, shape.spelled)
        self.register_buffer("trust", torch.ones(()))

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        values = inputs["values"]
        tokens = torch.cat([self.bags.each(values), embedding(values, self.words.table)], dim=2)
        return Features(tokens, self.pooled(inputs), inputs["mask"])

    def pooled(self, inputs: Tensors) -> Tensor:
        return self.joined(inputs, self.width)

    def joined(self, inputs: Tensors, width: int) -> Tensor:
        """Both parts [B, width], the first numbers of each where `width` is less than D."""
        bag, average = (part(inputs["values"], inputs["mask"]) for part in (self.bags, self.words))
        kept = averaged(width)
        return normalize(torch.cat([bag[:, : width - kept], self.trust * average[:, :kept]], dim=1))

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return BagDecoder(shape, code)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        state_dict.setdefault(prefix + "trust", torch.ones(()))  # models from before averages were weighed
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def averaged(width: int) -> int:
    """How many of so many numbers are the average's: few say most of it, of a bag each one more says something."""
    return max(1, width // 8)
