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
from torch.nn.functional import gelu, normalize, scaled_dot_product_attention

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.encoders.transformer import Transformer, TransformerDecoder
from app.ml.networks.attention import check_heads, quiet
from app.ml.networks.layers import activated, linear
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ml.text.tokenization import BEGIN, END

Pooling = Literal["mean", "first"]
MARKS = 2
"""Tokens around every text: one before it, one behind it."""


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
        """`tokens` [B, L, D], or [T, D] where only those of `real` [B, L] are there."""
        tokens = self.attention_norm(tokens + self.dropout(self.tell(self.heard(self.ask(tokens), real))))
        inner: Tensor = self.dropout(self.narrow(gelu(self.widen(tokens))))
        normed: Tensor = self.inner_norm(tokens + inner)
        return normed

    def heard(self, asked: Tensor, real: Tensor | None) -> Tensor:
        """What tokens hear of each other, from their queries, keys and values."""
        if real is None:
            rows, length, _ = asked.shape
            spread = asked
        else:
            rows, length = real.shape
            spread = asked.new_zeros((rows, length, asked.shape[1]))
            spread[real] = asked
        queries, keys, values = spread.view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # each [B, H, L, …]
        mask = None if real is None else real[:, None, None, :]
        heard = scaled_dot_product_attention(queries, keys, values, attn_mask=mask).transpose(1, 2).flatten(2)
        return heard if real is None else heard[real]


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
        marked, lengths = self.marked(inputs)
        places = torch.arange(marked.shape[1], device=marked.device)
        real = places < lengths[:, None]  # [B, L + 2]
        embedded = self.embed(marked) + self.places[: marked.shape[1]]
        packed = None if bool(real.all()) else real  # nothing is computed for padding
        tokens = self.dropout(self.norm(embedded if packed is None else embedded[packed]))
        for layer in self.layers:
            tokens = layer(tokens, packed)
        if packed is not None:
            tokens = tokens.new_zeros((*real.shape, self.width)).masked_scatter_(real[:, :, None], tokens)
        pooled = tokens[:, 0].float()
        if self.settings.pooling == "mean":
            pooled = tokens.float().sum(1) / lengths[:, None]
        if self.settings.normalised:
            pooled = normalize(pooled)
        return Features(tokens[:, 1:-1], pooled, inputs["mask"])

    def marked(self, inputs: Tensors) -> tuple[Tensor, Tensor]:
        """The ids with marks around every text [B, L + 2], and how many of them are real [B]."""
        values, lengths = inputs["values"], inputs["mask"].sum(1)
        marked = torch.cat([torch.full_like(values[:, :1], BEGIN), values, torch.zeros_like(values[:, :1])], dim=1)
        return marked.scatter(1, lengths[:, None] + 1, END), lengths + MARKS

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        settings = self.settings
        mirror = Transformer(width=settings.width, depth=settings.depth, heads=settings.heads)
        return TransformerDecoder(mirror, shape, code)
