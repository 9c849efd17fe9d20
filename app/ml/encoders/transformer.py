"""A transformer (Vaswani 2017) over the patches of a grid (Dosovitskiy 2020) or over the tokens of a text.

Legend: `B` batch, `L` tokens, `K` visible tokens, `D` width of the features, `V` vocabulary.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.image import patches
from app.ml.networks.attention import Angles, Layer, check_heads, chosen, masked_mean, rotations
from app.ml.networks.layers import linear
from app.ml.tensors.shapes import Layout, Shape, Tensors

Positions = Literal["rotary", "learned"]


class Transformer(EncoderSettings):
    """Attention over patches of pictures and spectrograms, or over tokens of text."""

    name: Literal["transformer"] = "transformer"
    """Attention over patches or tokens."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"grid", "tokens"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"keep", "causal", "grid"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"width": 64, "depth": 2, "heads": 4},
        "small": {"width": 256, "depth": 4, "heads": 4},
        "base": {"width": 512, "depth": 8, "heads": 8},
    }

    preset: Literal["nano", "small", "base"] | None = None
    """Fills the keys below that are not given. Parameters, without those for the vocabulary: `nano` 0.1 million,
    `small` (the default's sizes) 3.2 million, `base` 25 million."""
    width: int = Field(256, ge=4, le=4096)
    """Numbers per token; the width of the features."""
    depth: int = Field(4, ge=1, le=64)
    """Layers."""
    heads: int = Field(4, ge=1, le=64)
    """Parts in which a token looks at others at once; `width / heads` must be a multiple of 4."""
    patch: int | None = Field(None, ge=1, le=256)
    """Side of a patch of a grid, in pixels. Without one, an eighth of the longer side."""
    positions: Positions = "rotary"
    """How a token knows its place: `rotary` (Su 2021) turns it by its distances, `learned` adds a vector per place."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of each layer's contribution that is set to zero while training."""

    @model_validator(mode="after")
    def _divides(self) -> "Transformer":
        check_heads(self.width, self.heads)
        return self

    def build(self, shape: Shape) -> "TransformerEncoder":
        return TransformerEncoder(self, shape)


class Places(nn.Module):
    """Where tokens stand: angles to turn them by, or vectors to add to them."""

    angles: Tensor

    def __init__(self, settings: Transformer, places: tuple[int, ...]) -> None:
        super().__init__()
        self.learned: nn.Parameter | None = None
        angles = rotations(places, settings.width // settings.heads)
        if settings.positions == "learned":
            self.learned = nn.Parameter(torch.empty(len(angles), settings.width))
            nn.init.normal_(self.learned, std=0.02)
        self.register_buffer("angles", angles, persistent=False)

    def forward(self, tokens: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Angles | None]:
        """The tokens [B, L, D], those of `keep` alone where given, and what to turn them by."""
        length = tokens.shape[1]
        if self.learned is not None:
            return chosen(tokens + self.learned[:length], keep), None
        angles = self.angles[:length]
        if keep is not None:
            angles = angles[keep]  # [B, K, P]
        return chosen(tokens, keep), (angles.cos(), angles.sin())


class TransformerEncoder(Encoder):
    """Tokens are patches or words; `pooled` is the mean of the real ones."""

    def __init__(self, settings: Transformer, shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width
        self.grid = (0, 0)
        self.embed: nn.Module
        if shape.layout == "grid":
            self.side = patches.side(shape, settings.patch)
            self.grid = patches.lattice(shape, self.side)
            self.embed = linear(shape.size[0] * self.side**2, settings.width)
            self.places = Places(settings, self.grid)
        else:
            assert shape.vocabulary is not None
            self.embed = nn.Embedding(shape.vocabulary, settings.width)
            self.places = Places(settings, shape.size)
        self.layers = nn.ModuleList(
            Layer(settings.width, settings.heads, settings.depth, settings.dropout) for _ in range(settings.depth)
        )
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        values, mask = inputs["values"], inputs.get("mask")
        embedded = self.embed(patches.cut(values, self.side) if self.side else values)  # [B, L, D]
        tokens, angles = self.places(embedded, keep)
        if keep is not None and mask is not None:
            mask = mask.gather(1, keep)
        for layer in self.layers:
            tokens = layer(tokens, angles, mask, causal)
        tokens = self.norm(tokens)
        grid = self.grid if self.side and keep is None else None
        return Features(tokens, masked_mean(tokens, mask), mask, grid)

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return TransformerDecoder(self.settings, shape, code)


class TransformerDecoder(nn.Module):
    """The way back: the code at every place, layers through which the places agree, and a patch or word for each."""

    def __init__(self, settings: Transformer, shape: Shape, code: int) -> None:
        super().__init__()
        self.shape = shape
        self.side = patches.side(shape, settings.patch) if shape.layout == "grid" else 0
        places = patches.lattice(shape, self.side) if self.side else shape.size
        self.expand = linear(code, settings.width)
        # rotations tell distances alone, and here all places begin with the same code
        self.places = Places(settings.model_copy(update={"positions": "learned"}), places)
        self.layers = nn.ModuleList(
            Layer(settings.width, settings.heads, settings.depth) for _ in range(max(1, settings.depth // 2))
        )
        outputs = shape.size[0] * self.side**2 if self.side else shape.vocabulary
        assert outputs is not None
        self.draw = nn.Sequential(nn.LayerNorm(settings.width), linear(settings.width, outputs))
        self.count = int(self.places.angles.shape[0])

    def forward(self, code: Tensor, length: int | None = None) -> Tensor:
        expanded: Tensor = self.expand(code)
        tokens, angles = self.places(expanded[:, None, :].expand(-1, length or self.count, -1))
        for layer in self.layers:
            tokens = layer(tokens, angles)
        drawn: Tensor = self.draw(tokens)  # [B, L, N], of tokens [B, L, V]
        return patches.joined(drawn, self.shape, self.side) if self.side else drawn
