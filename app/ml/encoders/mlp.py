"""Layers of neurons, each connected with all of the next. Reads any item as one flat row.

Legend: `B` batch, `N` numbers per item, `D` width of the last hidden layer, `code` width of the embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from app.ml.encoders.base import Encoder, EncoderSettings, Features
from app.ml.networks.layers import RECTIFIED, activated, linear
from app.ml.networks.pieces import Pieces
from app.ml.networks.rectified import Chain, Rectified
from app.ml.plugins import Several
from app.ml.tensors.batch import Tell
from app.ml.tensors.shapes import Layout, Shape, Tensors

Activation = Literal["gelu", "relu", "silu", "tanh"]
Norm = Literal["layer", "none"]

ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "relu": partial(nn.ReLU, inplace=True),  # what it is given, nobody else reads
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
GAINS: Mapping[Activation, float] = {"gelu": RECTIFIED, "relu": RECTIFIED, "silu": RECTIFIED, "tanh": 5 / 3}


class Mlp(EncoderSettings):
    """Fully connected layers, for rows of numbers and small pictures."""

    name: Literal["mlp"] = "mlp"
    """Fully connected layers."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"vector", "grid"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "reference": {"widths": (128, 64, 32, 16), "activation": "relu", "norm": "none"},
        "nano": {"widths": (64, 32)},
        "small": {"widths": (256, 128)},
        "base": {"widths": (1024, 512, 256)},
    }

    preset: Literal["reference", "nano", "small", "base"] | None = None
    """Fills the keys below that are not given. `reference` is the classic autoencoder's net: 128-64-32-16, ReLU, no
    normalisation (Hinton & Salakhutdinov 2006 made the form known)."""
    widths: Several[Annotated[int, Field(ge=1, le=16_384)]] = Field((512, 256, 128), min_length=1, max_length=16)
    """Neurons of the hidden layers, from the input on. The last is the width of the features."""
    activation: Activation = "gelu"
    """What stands between two layers."""
    norm: Norm = "layer"
    """Normalisation before the activation: of every row by itself, or none."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of hidden values set to zero while training."""
    pieces: int | None = Field(None, ge=2, le=256)
    """Of each number's range, between quantiles of the training rows, told beside the number (piecewise-linear
    encoding, Gorishniy 2022): by them steps and waves within a column are learned. `regression` has them by default."""

    def build(self, shape: Shape) -> "MlpEncoder":
        return MlpEncoder(self, shape)


class MlpEncoder(Encoder):
    """Features are the last hidden layer; there is one token, the item itself."""

    def __init__(self, settings: Mlp, shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.widths[-1]
        self.pieces = Pieces(shape.count, settings.pieces) if settings.pieces else None
        self.settles = self.pieces is not None
        inputs = shape.count + (self.pieces.width if self.pieces is not None else 0)
        self.layers = _hidden(inputs, settings.widths, settings, settings.dropout)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        rows = inputs["values"].flatten(1)
        if self.pieces is not None:
            rows = torch.cat([rows, self.pieces(rows)], 1)
        pooled: Tensor = self.layers(rows)  # [B, …] -> [B, D]
        return Features(tokens=pooled.unsqueeze(1), pooled=pooled)

    def settle(self, rows: Tensor, tell: Tell) -> None:
        assert self.pieces is not None, "there are no pieces to cut: this is a bug"
        self.pieces.settle(rows.flatten(1))

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        widths = tuple(reversed(self.settings.widths))
        if widths[0] == code and len(widths) > 1:  # the code is the features themselves: their layer is not repeated
            widths = widths[1:]
        return MlpDecoder(
            _hidden(code, widths, self.settings, 0.0), linear(widths[-1], shape.count), nn.Unflatten(1, shape.size)
        )

    def redrawn(self, inputs: Tensors, bottleneck: nn.Module, decoder: nn.Module) -> Tensor:
        """Where all layers are linear or rectified, they are one node of the graph from the item to its drawing."""
        if self._rectified is None:
            return super().redrawn(inputs, bottleneck, decoder)
        drawn = self._rectified(inputs["values"].flatten(1), *_behind(bottleneck, decoder))
        return cast(Tensor, cast(MlpDecoder, decoder)[-1](drawn))

    def chain(self, bottleneck: nn.Module, decoder: nn.Module) -> Chain | None:
        return None if self._rectified is None else self._rectified.chain(*_behind(bottleneck, decoder))

    @property
    def _rectified(self) -> Rectified | None:
        """The layers, where they are one node of the graph and read the item alone."""
        return self.layers if isinstance(self.layers, Rectified) and self.pieces is None else None


def _behind(bottleneck: nn.Module, decoder: nn.Module) -> tuple[nn.Module, ...]:
    """All layers from the features to the drawing."""
    hidden, last, _ = cast(MlpDecoder, decoder)
    return (*((bottleneck,) if isinstance(bottleneck, nn.Linear) else ()), hidden, last)


class MlpDecoder(nn.Sequential):
    """Hidden layers, a linear one, and the item's shape."""

    def forward(self, code: Tensor) -> Tensor:
        hidden, last, shaped = self
        values: Tensor = hidden(code, last) if isinstance(hidden, Rectified) else last(hidden(code))
        return cast(Tensor, shaped(values))


def _hidden(inputs: int, widths: Sequence[int], settings: Mlp, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip([inputs, *widths[:-1]], widths, strict=True):
        if settings.norm == "layer":
            layers += [linear(before, after), nn.LayerNorm(after)]
        else:
            layers.append(activated(before, after, GAINS[settings.activation]))
        layers.append(ACTIVATIONS[settings.activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
    rectified = settings.norm == "none" and settings.activation == "relu" and not dropout
    return Rectified(*layers) if rectified else nn.Sequential(*layers)
