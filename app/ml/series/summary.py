"""What is plain of a series, channel by channel: its level, how far it swings, and how fast.

Legend: `B` batch, `T` steps, `C` channels, `S` steps of a segment, `F` frequencies, `K` bands.
"""

import math

import torch
from torch import Tensor, nn

SEGMENT = 512
"""Most steps of which a spectrum is taken at once; a longer series has the mean of its segments' (Welch 1967)."""
BANDS = 8
"""Into which frequencies are put, each as wide as the one before times a constant; fewer of short series."""
SMALLEST = 1e-4
"""Power that is added before its logarithm."""


class Summary(nn.Module):
    """Mean, deviation, minimum, maximum and log power per band of frequency, of every channel."""

    waves: Tensor
    bands: Tensor

    def __init__(self, steps: int, channels: int) -> None:
        super().__init__()
        self.channels, self.segment = channels, min(steps, SEGMENT)
        self.segments = steps // self.segment
        frequencies = torch.arange(1, self.segment // 2 + 1)
        angles = 2 * math.pi / self.segment * torch.arange(self.segment)[:, None] * frequencies
        self.register_buffer("waves", torch.cat([angles.cos(), angles.sin()], 1) / self.segment**0.5, persistent=False)
        """[S, 2F]"""
        edges = torch.tensor(
            sorted({round((len(frequencies) + 1) ** (place / BANDS)) - 1 for place in range(BANDS + 1)})
        )
        there = (frequencies[:, None] > edges[:-1]) & (frequencies[:, None] <= edges[1:])
        self.register_buffer("bands", there / there.sum(0), persistent=False)
        """[F, K], what each frequency adds to the mean power of each band"""
        self.width = channels * (4 + self.bands.shape[1])

    def forward(self, series: Tensor) -> Tensor:
        """[B, T, C] to [B, (4 + K) · C]."""
        mean, deviation = series.mean(1), series.std(1, correction=0)
        whole = (series - mean[:, None])[:, : self.segments * self.segment]
        segments = whole.reshape(-1, self.segments, self.segment, self.channels).transpose(2, 3)
        cosines, sines = (segments @ self.waves).chunk(2, 3)  # [B, T / S, C, F]
        power = (cosines.square() + sines.square()).mean(1) @ self.bands  # [B, C, K]
        parts = [mean, deviation, series.amin(1), series.amax(1), (power + SMALLEST).log().flatten(1)]
        return torch.cat(parts, 1)
