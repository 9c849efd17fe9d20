"""Series by many random kernels: ROCKET (Dempster 2020), beside what is plain of each channel.

Kernels of random weights, of few channels and of all widths slide over a series. Each says in how much of it what it
looks for is there, and how clearly where it is clearest.
A spectrogram is a series of frames whose channels are its mels, and a picture one of columns.
Legend: `B` batch, `T` steps, `C` channels, `K` kernels, `N` numbers that are told, `D` width of the features.
"""

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from app.errors import OutOfRange
from app.ml.decomposition.components import principal
from app.ml.encoders.base import Capability, Encoder, EncoderSettings, Features
from app.ml.networks.layers import linear
from app.ml.series import channels as layout
from app.ml.series.summary import Summary
from app.ml.tensors.batch import Tell
from app.ml.tensors.shapes import Layout, Shape, Tensors

REACH = 9
"""Weights of a kernel in each channel (Dempster 2020)."""
MOST_CHANNELS = 3
"""That a kernel looks at."""
SOFT = 0.1
"""Deviations over which what a kernel looks for goes from hardly there to clearly there: a count would not be
continuous, and what was answered once could not be compared."""
WIDEST = 256
FARTHEST = 10.0
"""Deviations at which what is told of a series is cut."""
CHUNK = 1024
SMALLEST = 1e-6
"""Deviation below which something is taken as constant."""
SAMPLE, FEW, PLACES = 256, 32, 4_000_000
"""Training rows by which kernels are scaled, those by which thresholds are set, and numbers that all kernels may say of
some rows at once."""


class Kernels(EncoderSettings):
    """Random kernels over a series, beside statistics and spectrum of each channel."""

    name: Literal["kernels"] = "kernels"
    """Random kernels."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"vector", "grid"})
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"kernels"})

    kernels: int = Field(340, ge=1, le=10_000)
    """How many there are; each tells two numbers."""
    channels: int | None = Field(None, ge=1, le=65536)
    """Numbers of each step, side by side; by default those of the dataset's series, and 1 where it holds none. Pictures
    and sounds have their own."""

    def default_settings(self, shape: Shape, place: int | None = None) -> tuple[dict[str, Any], str]:
        return layout.default(shape)

    def check(self, shape: Shape) -> None:
        layout.check_encoder(self.channels, shape)

    def build(self, shape: Shape) -> "KernelsEncoder":
        return KernelsEncoder(self, shape)


class KernelsEncoder(Encoder):
    """There is one token, the series itself."""

    settles = informed = True
    offset: Tensor
    scale: Tensor

    def __init__(self, settings: Kernels, shape: Shape) -> None:
        """Raises OutOfRange for more dimensions than are told of a series."""
        super().__init__()
        self.is_grid = shape.layout == "grid"
        self.channels = math.prod(shape.size[:2]) if self.is_grid else settings.channels or 1
        self.steps = steps = shape.count // self.channels
        self.convolutions = nn.ModuleList()
        widths = max(1, int(math.log2(max(1.0, (steps - 1) / (REACH - 1)))) + 1)
        for place in range(min(widths, settings.kernels)):
            share = len(range(place, settings.kernels, widths))
            self.convolutions.append(_drawn(self.channels, share, 2**place))
        self.summary = Summary(steps, self.channels)
        self.kernels, self.count = settings.kernels, 2 * settings.kernels + self.summary.width
        self.width = settings.dimensions or min(WIDEST, self.count)
        if self.width > self.count:
            raise OutOfRange(
                f"dimensions: {self.width} asked, and {self.count} numbers are told of a series; give fewer, or "
                "more kernels",
                param="encoder.dimensions",
            )
        self.register_buffer("offset", torch.zeros(self.count))
        self.register_buffer("scale", torch.ones(self.count))
        self.weight = nn.Parameter(torch.randn(self.count, self.width) / self.count**0.5)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        pooled = self.scaled(self.told(inputs["values"])) @ self.weight  # [B, T · C] or [B, …, T] -> [B, D]
        return Features(tokens=pooled[:, None, :], pooled=pooled)

    def told(self, values: Tensor) -> Tensor:
        """[B, N]: of each kernel its share and its maximum, then the summary."""
        series = self._by_channel(values)
        shares, maxima = list[Tensor](), list[Tensor]()
        for convolution in self.convolutions:  # what kernels of one width hear is as much as is held at once
            heard = convolution(series)  # [B, K, T]
            shares.append((heard / SOFT).sigmoid().mean(2))
            maxima.append(heard.amax(2))
        return torch.cat([*shares, *maxima, self.summary(series.transpose(1, 2))], 1)

    def _by_channel(self, values: Tensor) -> Tensor:
        """[B, C, T]"""
        if self.is_grid:
            return values.flatten(1, 2)
        return values.reshape(-1, self.steps, self.channels).transpose(1, 2)

    def scaled(self, told: Tensor) -> Tensor:
        return ((told - self.offset) * self.scale).clamp(-FARTHEST, FARTHEST)

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return nn.Sequential(linear(code, shape.count), nn.Unflatten(1, shape.size))

    @torch.no_grad()
    def settle(self, rows: Tensor, tell: Tell) -> None:
        """Sets when each kernel answers, and which directions of all that is told of rows [R, …] to keep."""
        self._set_thresholds(rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE])
        size = max(1, PLACES // (self.kernels * self.steps))
        told = torch.empty(len(rows), self.count)
        for first in range(0, len(rows), size):
            told[first : first + size] = self.told(rows[first : first + size])
            tell(0.9 * first / len(rows))
        deviation = told.std(0, correction=0)
        self.offset.copy_(told.mean(0))
        self.scale.copy_(torch.where(deviation > SMALLEST, 1 / deviation, 0.0))
        plain = self.summary.width
        loudness = torch.full((self.count,), (self.count - plain) ** -0.5)
        loudness[-plain:] = plain**-0.5  # together both parts are equally loud
        known = self.scaled(told) * loudness
        _, directions, variances = principal(
            lambda: iter(torch.split(known, CHUNK)), self.count, self.width, lambda share: tell(0.9 + 0.1 * share)
        )
        # who divides columns by their deviations would make the last components, which are noise, as loud as the first
        turned = torch.linalg.qr(torch.randn(self.width, self.width))[0]
        loud = variances.mean().sqrt().clamp(min=SMALLEST)
        self.weight.copy_(loudness[:, None] * directions @ turned / loud)

    def _set_thresholds(self, rows: Tensor) -> None:
        """Gives each kernel's answers deviation 1, and a threshold that lies anywhere among them."""
        series = self._by_channel(rows)
        few = series[:: max(1, len(series) // FEW)][:FEW]
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv1d)
            assert convolution.bias is not None
            convolution.bias.zero_()
            deviation = convolution(series).std((0, 2), correction=0)
            convolution.weight.div_(deviation.clamp(min=SMALLEST)[:, None, None])
            answers = convolution(few).transpose(0, 1).flatten(1).sort(1).values  # [K, rows · T]
            places = (torch.rand(len(answers)) * answers.shape[1]).long()
            convolution.bias.copy_(-answers.gather(1, places[:, None])[:, 0])


def _drawn(channels: int, kernels: int, spacing: int) -> nn.Conv1d:
    """Kernels whose weights, `spacing` steps apart, come to 0 in each of the few channels that they look at."""
    drawn = nn.Conv1d(channels, kernels, REACH, dilation=spacing, padding=REACH // 2 * spacing)
    weights = torch.randn(kernels, channels, REACH)
    seen = torch.rand(kernels, channels).argsort(1) < MOST_CHANNELS
    with torch.no_grad():
        drawn.weight.copy_((weights - weights.mean(2, keepdim=True)) * seen[:, :, None])
        assert drawn.bias is not None
        drawn.bias.zero_()
    return drawn
