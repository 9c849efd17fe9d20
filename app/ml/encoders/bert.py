"""The transformer of BERT (Devlin 2018): what sentence encoders of that family are, so that their weights fit in here.

Each sum is normalised after it is made, places are learned vectors, and two marks stand around every text. The vector
of the first segment, which BERT adds to every token of a lone text, is part of the places' vectors here.
Legend: `B` batch, `L` tokens, `T` real tokens and marks of all texts together, `D` width of the features.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize, pad

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.encoders.transformer import Transformer, TransformerDecoder
from app.ml.networks.attention import attended, check_heads, quiet
from app.ml.networks.layers import activated, linear
from app.ml.networks.tracing import tracing
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.text.tokenization import BEGIN, END

Pooling = Literal["mean", "first"]
MARKS = 2
"""Tokens around every text: one before it, one behind it."""
PACKED = 2
"""Axes of tokens that stand without padding, [T, D]."""


class Bert(EncoderSettings):
    """A transformer as BERT has it, over the tokens of a text; the encoder of imported models."""

    name: Literal["bert"] = "bert"
    """Attention over tokens, as in BERT and the sentence encoders made from it."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"tokens"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"width": 64, "depth": 2, "heads": 4},
        "small": {"width": 384, "depth": 6, "heads": 12},
        "base": {"width": 768, "depth": 12, "heads": 12},
    }

    preset: Literal["nano", "small", "base"] | None = None
    """Fills the keys below that are not given. Parameters, without those for the vocabulary: `nano` 0.1 million,
    `small` (the default's sizes) 11 million, `base` 86 million."""
    width: int = Field(384, ge=4, le=4096)
    """Numbers per token; the width of the features."""
    depth: int = Field(6, ge=1, le=64)
    """Layers."""
    heads: int = Field(12, ge=1, le=64)
    """Parts in which a token looks at others at once; `width / heads` must be a multiple of 4."""
    inner: int | None = Field(None, ge=1, le=65_536)
    """Numbers per token between the two connected layers; four times `width` by default."""
    pooling: Pooling = "mean"
    """What stands for a text: the mean of its tokens and marks, or the mark before it (`[CLS]`)."""
    normalised: bool = True
    """Whether that is brought to length 1."""
    epsilon: float = Field(1e-12, gt=0, le=0.1)
    """Added to the variance by every normalisation."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of each layer's contribution that is set to zero while training."""

    @model_validator(mode="after")
    def _divides(self) -> "Bert":
        check_heads(self.width, self.heads)
        return self

    def build(self, shape: Shape) -> "BertEncoder":
        return BertEncoder(self, shape)


class Layer(nn.Module):
    """Attention and two connected layers, each added to what was there and normalised then (Vaswani 2017)."""

    def __init__(self, settings: Bert) -> None:
        super().__init__()
        width, inner = settings.width, settings.inner or 4 * settings.width
        self.heads = settings.heads
        self.ask, self.tell = linear(width, 3 * width), quiet(width, width, settings.depth)
        self.attention_norm = nn.LayerNorm(width, settings.epsilon)
        self.widen, self.narrow = activated(width, inner), quiet(inner, width, settings.depth)
        self.inner_norm = nn.LayerNorm(width, settings.epsilon)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: Tensor, real: Tensor | None) -> Tensor:
        """`tokens` [B, L, D], or [T, D] where only those of `real` [B, L] are there; None where all are real."""
        tokens = self.attention_norm(tokens + self.dropout(self.tell(self.heard(self.ask(tokens), real))))
        inner: Tensor = self.dropout(self.narrow(gelu(self.widen(tokens))))
        normed: Tensor = self.inner_norm(tokens + inner)
        return normed

    def heard(self, asked: Tensor, real: Tensor | None) -> Tensor:
        """What tokens hear of each other, from their queries, keys and values."""
        packed, spread = asked.ndim == PACKED, asked
        if packed:
            assert real is not None
            spread = asked.new_zeros((*real.shape, asked.shape[1]))
            spread[real] = asked
        rows, length, _ = spread.shape
        queries, keys, values = spread.view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each [B, H, L, …]
        heard = attended(queries, keys, values, real).transpose(1, 2).flatten(2)
        return heard[real] if packed else heard


class BertEncoder(Encoder):
    """Tokens are those of the text, without the marks that stand around it on the way."""

    def __init__(self, settings: Bert, shape: Shape) -> None:
        super().__init__()
        assert shape.vocabulary is not None
        self.settings, self.width, self.unit = settings, settings.width, settings.normalised
        self.embed = nn.Embedding(shape.vocabulary, settings.width)
        self.places = nn.Parameter(torch.empty(shape.size[0] + MARKS, settings.width))
        for vectors in (self.embed.weight, self.places):
            nn.init.normal_(vectors, std=0.02)
        self.norm = nn.LayerNorm(settings.width, settings.epsilon)
        self.dropout = nn.Dropout(settings.dropout)
        self.layers = nn.ModuleList(Layer(settings) for _ in range(settings.depth))

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        marked, real = self.marked(inputs)
        embedded = self.embed(marked) + self.places[: marked.shape[1]]
        padded = not bool(real.all())
        packed = padded and not tracing()  # nothing is computed for padding, but graphs are plainer so
        tokens = self.dropout(self.norm(embedded[real] if packed else embedded))
        for layer in self.layers:
            tokens = layer(tokens, real if padded else None)
        if packed:
            tokens = tokens.new_zeros((*real.shape, self.width)).masked_scatter_(real[:, :, None], tokens)
        elif padded:
            tokens = tokens * real[:, :, None]
        pooled = tokens[:, 0].float()
        if self.settings.pooling == "mean":
            pooled = tokens.float().sum(1) / real.sum(1, keepdim=True)
        if self.settings.normalised:
            pooled = normalize(pooled)
        return Features(tokens[:, 1:-1], pooled, inputs["mask"])

    def marked(self, inputs: Tensors) -> tuple[Tensor, Tensor]:
        """The ids with marks around every text, and which of them are real: both [B, L + 2]."""
        marked, real = pad(inputs["values"], (1, 1), value=BEGIN), pad(inputs["mask"], (2, 0), value=True)
        last = real.sum(1, keepdim=True) - 1
        return marked.scatter(1, last, END), real

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        settings = self.settings
        mirror = Transformer(width=settings.width, depth=settings.depth, heads=settings.heads)
        return TransformerDecoder(mirror, shape, code)
