"""A small residual network of convolutions (He 2015): in two dimensions for pictures, in one for series (Wang 2017).

A series is a row of numbers, step after step, with the channels of a step side by side. It passes as a map of one row.
Legend: `B` batch, `C` channels, `H`, `W` height and width, `T` steps, `L` places of the last map, `D` width of the
features.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.networks.layers import convolution, linear, normalisation
from app.ml.series import channels as layout
from app.ml.tensors.shapes import Layout, Shape, Tensors

LAST_SIDE = 8
"""Maps are halved until no side is longer."""
SMALL, FIRST_SIDE = 64, 24
"""Of pictures of more pixels than a square of side `SMALL`, the first stage of a new network reads no more places than
one of `FIRST_SIDE` has: in equal time the many steps teach more than fine maps do."""
Stem = Literal[1, 2, 4, 8, 16]
STEMS: tuple[Stem, ...] = get_args(Stem)
LEAST_CHANNELS = 8
"""Channels of a map before the first stage, if that has as many."""
LARGE = 2**16
"""Pixels of a picture beyond which maps before the first stage lie channel by channel, as they do where it is short of
channels: layers with channels side by side add up each channel's places one by one, and so large maps were normalised
with errors of 1e-3 that differed with the number of rows. In bf16 a step is twice as fast."""
REACH = 5
"""Steps of a series that a convolution sees at once: two dimensions see 9 places with a side of 3."""


class Cnn(EncoderSettings):
    """A small residual network of convolutions."""

    name: Literal["cnn"] = "cnn"
    """Residual convolutions."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"grid", "vector"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"grid"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"width": 16, "blocks": 1},
        "small": {"width": 64, "blocks": 1},
        "base": {"width": 128, "blocks": 2},
    }

    preset: Literal["nano", "small", "base"] | None = None
    """Fills the keys below that are not given. Parameters for pictures of 28 by 28: `nano` 22 thousand, `small` (the
    default's sizes) 0.3 million, `base` 2.8 million; for series of 128 steps: 36 thousand, 0.6 and 4.4 million."""
    width: int = Field(64, ge=1, le=1024)
    """Channels of the first stage; later stages have twice as many, the features four times."""
    blocks: int = Field(1, ge=1, le=16)
    """Residual blocks of each stage."""
    stem: Stem | None = None
    """Pixels of a side that become one place of the first stage, by convolutions of stride 2 that grow wider (He 2019).
    By default 1 up to 16 pixels, 2 up to 64, then 4 up to 96, 8 up to 192 and 16, so that a step takes no longer.
    Sounds and series have 2 at most, pictures with boxes 4."""
    channels: int | None = Field(None, ge=1, le=65536)
    """Of rows of numbers, which are read as series: numbers of each step, side by side; by default those of the
    dataset's series, and 1 where it holds none. Arrays of rows by steps by channels come in this order."""

    def default_settings(self, shape: Shape, place: int | None = None) -> tuple[dict[str, Any], str]:
        if shape.layout == "vector":
            return layout.default(shape)
        if shape.layout != "grid" or shape.aligned or math.prod(shape.size[1:]) <= SMALL**2:
            return {}, ""
        _, height, width = shape.size
        fitting = [stem for stem in STEMS if stem <= (place or STEMS[-1])]
        stem = next((stem for stem in fitting if height * width <= (FIRST_SIDE * stem) ** 2), fitting[-1])
        return {"stem": stem}, f"steps of pictures of {height} by {width} would take too long"

    def check(self, shape: Shape) -> None:
        layout.check_encoder(self.channels, shape)

    def build(self, shape: Shape) -> "CnnEncoder":
        return CnnEncoder(self, shape)


class CnnEncoder(Encoder):
    """Tokens are the places of the last map, `pooled` is their mean plus their maximum."""

    def __init__(self, settings: Cnn, shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        channels, height, width = _map(settings, shape)
        self.series, self.steps = shape.layout == "vector", width
        narrow, wide, self.width = settings.width, 2 * settings.width, 4 * settings.width
        self.stem_stride = settings.stem or (2 if max(height, width) > 2 * LAST_SIDE else 1)
        self.stages = _halvings(max(height, width) // self.stem_stride)
        self.large = _is_large(self.stem_stride, height, width)
        layers: list[nn.Module] = []
        for outputs in _stem(narrow, self.stem_stride):
            stride = min(2, self.stem_stride)
            layers += [
                _convolution(channels, outputs, stride=stride, along=self.series),
                normalisation(outputs),
                nn.ReLU(),
            ]
            channels = outputs
        layers += [Block(narrow, narrow, along=self.series) for _ in range(settings.blocks)]
        for stage in range(self.stages):
            layers.append(Block(narrow if stage == 0 else wide, wide, stride=2, along=self.series))
            layers += [Block(wide, wide, along=self.series) for _ in range(settings.blocks - 1)]
        self.layers = nn.Sequential(*layers)
        self.widen = nn.Sequential(convolution(wide, self.width, side=1), normalisation(self.width), nn.ReLU())

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        values = inputs["values"]
        if self.series:  # [B, T·C] -> [B, C, 1, T]
            values = values.reshape(-1, self.steps, self.settings.channels or 1).transpose(1, 2).unsqueeze(2)
        stem, *blocks = self.layers
        maps: Tensor = stem(values if self.large else _side_by_side(values))  # [B, C, H, W]
        levels: list[Tensor] = []
        for block in blocks:
            if isinstance(block, Block):
                maps = _side_by_side(maps)
            before, maps = maps, block(maps)
            if maps.shape[2:] != before.shape[2:]:
                levels.append(before)
        maps = self.widen(maps)  # [B, D, h, w]
        tokens = maps.flatten(2).transpose(1, 2)  # [B, L, D]
        grid = (maps.shape[2], maps.shape[3])
        return Features(tokens, tokens.mean(1) + tokens.amax(1), grid=grid, levels=tuple(levels))

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return CnnDecoder(self.settings, shape, code, self.stem_stride, self.stages)


class CnnDecoder(nn.Module):
    """The way back: a small map from the code, enlarged and convolved until it has the picture's size."""

    def __init__(self, settings: Cnn, shape: Shape, code: int, stem_stride: int, stages: int) -> None:
        super().__init__()
        channels, height, width = _map(settings, shape)
        self.series = series = shape.layout == "vector"
        narrow, wide = settings.width, 2 * settings.width
        self.sizes = [(height, width)]
        stem = _stem(narrow, stem_stride)
        self.large = _is_large(stem_stride, height, width)
        for stride in len(stem) * [min(2, stem_stride)] + stages * [2]:
            self.sizes.append((-(-self.sizes[-1][0] // stride), -(-self.sizes[-1][1] // stride)))
        places = self.sizes[-1][0] * self.sizes[-1][1]
        self.expand = nn.Sequential(
            linear(code, wide * places),
            nn.Unflatten(1, (wide, *self.sizes[-1])),
            normalisation(wide),
            nn.ReLU(),
        )
        outputs = [wide] * (stages - 1) + [narrow]
        self.wide = len(outputs)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *[Block(wide, wide, along=series) for _ in range(settings.blocks - 1)], Block(wide, after, along=series)
            )
            for after in outputs
        )
        self.stages.extend(
            nn.Sequential(_convolution(before, after, along=series), normalisation(after), nn.ReLU())
            for after, before in reversed(list(pairwise(stem)))
        )
        self.draw = _convolution(stem[0], channels, gain=1.0, bias=True, along=series)

    def forward(self, code: Tensor) -> Tensor:
        maps: Tensor = self.expand(code)  # [B, E] -> [B, C, h, w]
        maps = _side_by_side(maps)
        for number, (stage, size) in enumerate(zip(self.stages, self.sizes[-2:0:-1], strict=True)):
            if self.large and number >= self.wide:
                maps = maps.contiguous()
            maps = stage(interpolate(maps, size=size))
        drawn: Tensor = self.draw(interpolate(maps, size=self.sizes[0]))
        return drawn.squeeze(2).transpose(1, 2).flatten(1) if self.series else drawn.contiguous()


class Block(nn.Module):
    """Two convolutions beside a short cut; the short cut is a convolution where size or channels change."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, along: bool = False) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride=stride, along=along)
        self.first_norm = normalisation(outputs)
        self.second = _convolution(outputs, outputs, along=along)
        self.second_norm = normalisation(outputs)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            short = convolution(inputs, outputs, side=1, stride=stride, gain=1.0, along=along)
            self.short = nn.Sequential(short, normalisation(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        inner = relu(self.first_norm(self.first(maps)))
        return relu(self.short(maps) + self.second_norm(self.second(inner)))


def _is_large(stem_stride: int, height: int, width: int) -> bool:
    """True where maps before the first stage have many places, or few channels."""
    return stem_stride > 4 or height * width > LARGE


def _side_by_side(maps: Tensor) -> Tensor:
    """With the channels of a place side by side in memory."""
    return maps.contiguous(memory_format=torch.channels_last)


def _convolution(inputs: int, outputs: int, *, along: bool, **more: Any) -> nn.Conv2d:
    return convolution(inputs, outputs, side=REACH if along else 3, along=along, **more)


def _map(settings: Cnn, shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width of what the first layer sees."""
    if shape.layout == "vector":
        channels = settings.channels or 1
        return channels, 1, shape.count // channels
    channels, height, width = shape.size
    return channels, height, width


def _stem(narrow: int, stride: int) -> list[int]:
    """Channels of the convolutions before the first stage, each twice as wide as the one before."""
    count = max(1, stride.bit_length() - 1)
    return [max(narrow >> left, min(narrow, LEAST_CHANNELS)) for left in reversed(range(count))]


def _halvings(side: int) -> int:
    """How often a map is halved, once at least."""
    count = 1
    while (side := -(-side // 2)) > LAST_SIDE:
        count += 1
    return count
