"""A single linear map: what PCA and TF-IDF with SVD fill, and the plainest encoder to compare others with.

Legend: `B` batch, `N` numbers per item, `D` width of the features.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.networks import layers
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.words.bags import Bags

WIDEST, WIDEST_OF_TEXT = 64, 256


class Linear(EncoderSettings):
    """One linear map of an item's numbers, or of how often a text holds each word and pair of words."""

    name: Literal["linear"] = "linear"
    """One linear map."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"vector", "grid", "tokens"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"linear"})

    def build(self, shape: Shape) -> "LinearEncoder | BagEncoder":
        if shape.layout == "tokens":
            return BagEncoder(shape.words, self.dimensions or WIDEST_OF_TEXT)
        return LinearEncoder(shape, self.dimensions or min(WIDEST, shape.count))


class LinearEncoder(Encoder):
    """There is one token, the item itself."""

    offset: Tensor

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.randn(shape.count, width) / shape.count**0.5)
        self.register_buffer("offset", torch.zeros(shape.count))

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        pooled = (inputs["values"].flatten(1) - self.offset) @ self.weight  # [B, N] -> [B, D]
        return Features(tokens=pooled[:, None, :], pooled=pooled)

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return nn.Sequential(layers.linear(code, shape.count), nn.Unflatten(1, shape.size))


class BagEncoder(Encoder):
    """A text as its weighted words and pairs, whatever their order; tokens are its words."""

    looks_up = True

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.bags = Bags(vocabulary, width)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        return Features(self.bags.each(inputs["values"]), self.pooled(inputs), inputs["mask"])

    def pooled(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.bags(inputs["values"], inputs["mask"])
        return pooled

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return BagDecoder(shape, code)


class BagDecoder(nn.Module):
    """Which words a text holds; the same at every place, as a bag has none."""

    def __init__(self, shape: Shape, code: int) -> None:
        super().__init__()
        assert shape.vocabulary is not None
        self.length = shape.size[0]
        self.draw = layers.linear(code, shape.vocabulary)

    def forward(self, code: Tensor, length: int | None = None) -> Tensor:
        scores: Tensor = self.draw(code)
        return scores[:, None, :].expand(-1, length or self.length, -1)
