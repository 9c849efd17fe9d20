"""Gated recurrent layers: GRU (Cho 2014) and LSTM (Hochreiter & Schmidhuber 1997), for texts and spectrograms.

Legend: `B` batch, `C` channels, `H`, `W` height and width of a grid, `L` steps, `D` width of the features, `V`
vocabulary.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from app.ml.encoders.base import Encoder, EncoderSettings, Features
from app.ml.networks.attention import masked_mean
from app.ml.networks.layers import linear
from app.ml.networks.recurrence import unrolled
from app.ml.networks.tracing import tracing
from app.ml.tensors.shapes import Layout, Shape, Tensors

Cell = Literal["gru", "lstm"]
CELLS: Mapping[Cell, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class Rnn(EncoderSettings):
    """Recurrent layers over the tokens of a text, or over the columns of a grid as time."""

    name: Literal["rnn"] = "rnn"
    """Recurrent layers."""
    accepts: ClassVar[frozenset[Layout]] = frozenset({"grid", "tokens"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "nano": {"width": 32, "depth": 1},
        "small": {"width": 128, "depth": 1},
        "base": {"width": 256, "depth": 2},
    }

    preset: Literal["nano", "small", "base"] | None = None
    """Fills the keys below that are not given. Parameters of a GRU in both directions, without those for the
    vocabulary: `nano` 13 thousand, `small` (the default's sizes) 0.2 million, `base` 2.0 million."""
    cell: Cell = "gru"
    """`lstm` keeps a memory beside its state and costs a third more."""
    width: int = Field(128, ge=1, le=4096)
    """Numbers of the state per direction; features have as many, twice as many when bidirectional."""
    depth: int = Field(1, ge=1, le=16)
    """Layers."""
    bidirectional: bool = True
    """Reads backwards, too."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the inputs of the recurrent layers that is set to zero while training."""

    def build(self, shape: Shape) -> "RnnEncoder":
        return RnnEncoder(self, shape)


class RnnEncoder(Encoder):
    """Tokens are the states after every step, normalised; `pooled` is the mean of the real ones."""

    def __init__(self, settings: Rnn, shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        self.width = settings.width * (2 if settings.bidirectional else 1)
        self.columns = shape.layout == "grid"
        if self.columns:
            self.embed: nn.Module = linear(shape.size[0] * shape.size[1], settings.width)
        else:
            assert shape.vocabulary is not None
            self.embed = nn.Embedding(shape.vocabulary, settings.width)
        self.embed_norm, self.dropout = nn.LayerNorm(settings.width), nn.Dropout(settings.dropout)
        self.layers = CELLS[settings.cell](
            settings.width, settings.width, settings.depth, batch_first=True, bidirectional=settings.bidirectional
        )
        self.norm = nn.LayerNorm(self.width)

    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        values, mask = inputs["values"], inputs.get("mask")
        if tracing():
            return self._traced(values, mask)
        steps = values.flatten(1, 2).transpose(1, 2) if self.columns else values  # [B, C, H, W] -> [B, W, C·H]
        steps = self.dropout(self.embed_norm(self.embed(steps)))
        if mask is None:
            states, _ = self.layers(steps)
        else:  # packed, so that the way back begins at an item's own end
            lengths = mask.sum(1).clamp(min=1).cpu()
            packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=steps.shape[1])
        tokens = self.norm(states)
        return Features(tokens, masked_mean(tokens, mask), mask)

    def _traced(self, values: Tensor, mask: Tensor | None) -> Features:
        """The same of [L, B, …]: onnx2tf mixes up neighbouring axes that are equally long, or both unknown."""
        values = torch.einsum("bcl->lbc", values.flatten(1, 2)) if self.columns else torch.einsum("bl->lb", values)
        steps = self.embed_norm(self.embed(values))
        if mask is None:
            tokens = self.norm(unrolled(self.layers, steps))
            pooled = tokens.mean(0)
        else:
            real = torch.einsum("bl->lb", mask.to(steps.dtype))[:, :, None]
            tokens = self.norm(unrolled(self.layers, steps, 1 - real))
            pooled = (tokens * real).sum(0) / real.sum(0).clamp(min=1)
        return Features(torch.einsum("lbd->bld", tokens), pooled, mask)

    def decoder(self, shape: Shape, code: int) -> nn.Module:
        return RnnDecoder(self.settings, shape, code)


class RnnDecoder(nn.Module):
    """The way back: a recurrent net that is shown the code at every step."""

    def __init__(self, settings: Rnn, shape: Shape, code: int) -> None:
        super().__init__()
        self.shape = shape
        self.columns = shape.layout == "grid"
        self.steps = shape.size[2] if self.columns else shape.size[0]
        self.expand = nn.Sequential(linear(code, settings.width), nn.LayerNorm(settings.width))
        self.layers = CELLS[settings.cell](settings.width, settings.width, settings.depth, batch_first=True)
        outputs = shape.size[0] * shape.size[1] if self.columns else shape.vocabulary
        assert outputs is not None
        self.draw = nn.Sequential(nn.LayerNorm(settings.width), linear(settings.width, outputs))

    def forward(self, code: Tensor, length: int | None = None) -> Tensor:
        expanded: Tensor = self.expand(code)
        drawn: Tensor
        if tracing() and self.columns:
            drawn = self.draw(unrolled(self.layers, expanded.expand(self.steps, *expanded.shape)))  # [W, B, C·H]
            return torch.einsum("wbch->bchw", drawn.view(*drawn.shape[:2], *self.shape.size[:2]))
        states, _ = self.layers(expanded[:, None, :].expand(-1, length or self.steps, -1))
        drawn = self.draw(states)  # [B, W, C·H], of tokens [B, L, V]
        return drawn.transpose(1, 2).reshape(-1, *self.shape.size) if self.columns else drawn
