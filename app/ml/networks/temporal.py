"""Convolutions along time over rows of different lengths. Padding stays zero, so that a row never knows its neighbours.

Legend: `B` batch, `F` frames, `D` width.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from app.ml.networks.layers import activated, linear

REACH = 5
"""Frames that a convolution sees at once."""


class Convolutions(nn.Module):
    """Residual layers, each a convolution along time and a map of what it found."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """[B, F, D], `mask` [B, F] bool, to [B, F, D]."""
        for layer in self.layers:
            frames = layer(frames, mask)
        normalised: Tensor = self.norm(frames)
        return normalised


class _Layer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.spread = activated(REACH * width, width)
        self.mix = linear(width, width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        inputs = pad(self.norm(frames) * mask[:, :, None], (0, 0, REACH // 2, REACH // 2))
        seen = torch.cat([inputs[:, place : place + frames.shape[1]] for place in range(REACH)], 2)  # [B, F, REACH · D]
        mixed: Tensor = self.mix(gelu(self.spread(seen)))
        return frames + mixed
