"""Convolutions along time over rows of different lengths. Padding stays zero, so that a row never knows its neighbours.

Legend: `B` batch, `F` frames, `D` width.
"""

from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu

from app.ml.layers import activated, linear

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
        inputs = self.norm(frames) * mask[:, :, None]
        weight = self.spread.weight.view(-1, inputs.shape[2], REACH)
        found = conv1d(inputs.transpose(1, 2), weight, self.spread.bias, padding=REACH // 2)
        mixed: Tensor = self.mix(gelu(found.transpose(1, 2)))
        return frames + mixed
