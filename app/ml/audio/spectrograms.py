"""Sounds to mel spectrograms in decibels, and back by guessing phases. Knows no settings and no data.

Legend: `B` batch, `n` samples, `F` frames, `W` samples of a window, `K` bins of the transform, `M` mels.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import fold

from app.errors import OutOfRange

FLOOR = 1e-10
"""Power below which nothing is told apart: what rounding to 16 bits makes of silence. It is -100 dB."""
LONGEST_TRANSFORM = 2**16
CHUNK_SAMPLES = 2**20
"""Samples that are transformed at once."""
MOMENTUM = 0.99
UPDATES = 20
"""Steps from powers of mels towards those of bins that have them: 10 take a mean error of 1.6 dB to 0.8, 50 to 0.7."""


class Mel:
    """Windows of sound as powers on the mel scale (Stevens, Volkmann & Newman 1937), in dB.

    0 dB is noise as loud as full scale.
    """

    def __init__(self, rate: int, mels: int, window: int, hop: int, band: tuple[float, float]) -> None:
        """`window` and `hop` in samples, `band` in Hz. Raises OutOfRange when a mel would hold nothing."""
        self.window, self.hop, self.mels = window, hop, mels
        self._size = 2 ** math.ceil(math.log2(window))
        while (filters := _filters(rate, mels, self._size, band)).amax(1).min() <= 0:
            self._size *= 2  # a longer transform looks between the bins
            if self._size > LONGEST_TRANSFORM:
                raise OutOfRange(f"mels: {mels} between {band[0]:g} and {band[1]:g} Hz are too many", param="modality")
        self._means = filters / filters.sum(1, keepdim=True)  # [M, K], of a band the mean power
        self._spread = (filters / filters.sum(0).clamp(min=1e-9)).T  # [K, M], between the bands' middles
        self._taper = torch.hann_window(window)
        self._energy = float(self._taper.square().sum())

    def frames(self, samples: int) -> int:
        """Windows that hold `samples` samples, the last one filled up with silence."""
        return 1 + max(0, -(-(samples - self.window) // self.hop))

    def samples(self, frames: int) -> int:
        """What so many windows reach over."""
        return self.window + (frames - 1) * self.hop

    def decibels(self, waves: Tensor) -> Tensor:
        """[B, n] in fractions of full scale to [B, M, F] in dB, -100 at least."""
        rows = max(1, CHUNK_SAMPLES // max(1, waves.shape[1]))
        parts = [waves[start : start + rows] for start in range(0, max(1, len(waves)), rows)]
        return torch.cat([self._decibels(part) for part in parts])

    def waves(self, decibels: Tensor, rounds: int = 32) -> Tensor:
        """[B, M, F] to [B, n], by guessing phases (Griffin & Lim 1984; with momentum, Perraudin 2013).

        The same spectrogram always gives the same sound.
        """
        power = 10 ** (decibels / 10) * (decibels > 10 * math.log10(FLOOR))
        sizes = (self._bins(power) * self._energy).sqrt().transpose(1, 2)  # [B, F, K]
        drawn = torch.rand(sizes.shape[1:], generator=torch.Generator().manual_seed(0))
        phases = torch.polar(torch.ones_like(drawn), 2 * math.pi * drawn).expand(sizes.shape)
        before = torch.zeros_like(phases)
        for _ in range(rounds):
            rebuilt = self._transformed(self._joined(sizes * phases))
            phases = rebuilt - MOMENTUM / (1 + MOMENTUM) * before
            phases = phases / phases.abs().clamp(min=1e-12)
            before = rebuilt
        return self._joined(sizes * phases)

    def _bins(self, power: Tensor) -> Tensor:
        """Powers of bins [B, K, F] whose mels [B, M, F] are as near as they can be: non-negative least squares by
        multiplicative updates (Lee & Seung 2000)."""
        bins = (self._spread @ power).clamp(min=1e-12)
        wanted, mixed = self._means.T @ power, self._means.T @ self._means
        for _ in range(UPDATES):
            bins = bins * wanted / (mixed @ bins).clamp(min=1e-20)
        return bins

    def _decibels(self, waves: Tensor) -> Tensor:
        power = self._transformed(waves).abs().square() / self._energy  # [B, F, K]
        means = self._means @ power.transpose(1, 2)  # [B, M, F]
        decibels: Tensor = 10 * means.clamp(min=FLOOR).log10()
        return decibels

    def _transformed(self, waves: Tensor) -> Tensor:
        """[B, n] to [B, F, K]"""
        spectra: Tensor = torch.fft.rfft(waves.unfold(1, self.window, self.hop) * self._taper, n=self._size)
        return spectra

    def _joined(self, spectra: Tensor) -> Tensor:
        """[B, F, K] to [B, n]: windows added where they overlap, and divided by how much they do."""
        pieces = torch.fft.irfft(spectra, n=self._size)[..., : self.window] * self._taper  # [B, F, W]
        frames = pieces.shape[1]
        weight = self._taper.square().expand(1, frames, self.window)
        added, weights = (self._added(part.transpose(1, 2), self.samples(frames)) for part in (pieces, weight))
        return added / weights.clamp(min=1e-3)

    def _added(self, pieces: Tensor, samples: int) -> Tensor:
        """[B, W, F] to [B, n]"""
        return fold(pieces, (1, samples), (1, self.window), stride=(1, self.hop))[:, 0, 0]


def _filters(rate: int, mels: int, size: int, band: tuple[float, float]) -> Tensor:
    """Triangles [M, K] whose middles lie evenly on the mel scale, each from one neighbour's middle to the other's."""
    low, high = (2595 * math.log10(1 + edge / 700) for edge in band)
    edges = 700 * (10 ** (torch.linspace(low, high, mels + 2, dtype=torch.float64) / 2595) - 1)
    bins = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    left, middle, right = (edges[start : start + mels, None] for start in range(3))
    return torch.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clamp(min=0).float()
