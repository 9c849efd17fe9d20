"""A vector per word, and texts as averages of them: what word embeddings fill.

Legend: `B` batch, `L` tokens, `D` width of the features.
"""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.functional import embedding

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.encoders.linear import BagDecoder
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.words.vectors import WordVectors

WIDTH = 200


class Words(EncoderSettings):
    """A vector per word; a text is the average of its words, in which rare ones count more."""

    name: Literal["words"] = "words"
    """A vector per word."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"tokens"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"words"})

    def build(self, shape: Shape) -> "WordEncoder":
        return WordEncoder(shape, self.dimensions or WIDTH)


class WordEncoder(Encoder):
    """Tokens are the words' vectors; `pooled` has length 1."""

    looks_up = True

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.width = width
        self.words = WordVectors(shape.words, width, shape.spelled)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        return Features(embedding(inputs["values"], self.words.table), self.pooled(inputs), inputs["mask"])

    def pooled(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.words(inputs["values"], inputs["mask"])
        return pooled

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return BagDecoder(shape, code)
