"""Sounds as mel spectrograms of their own length: frame after frame, for what has to speak them.

Legend: `B` batch, `F` frames, `M` mels, `T` frames of all sounds together.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from app.errors import OutOfRange
from app.ml.audio.sounds import FULL_SCALE, Samples, encode_uri, quantise
from app.ml.audio.spectrograms import Mel
from app.ml.modalities.parts.acoustics import LONGEST, Acoustic, FittedAcoustic
from app.ml.modalities.parts.spread import Spread
from app.ml.tensors.padding import Packed
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ragged import Ragged

LOUDEST = 20.0
"""dB of a mel at most, far beyond full scale: a power without bound would be no number."""


class Spectrogram(Acoustic):
    """Sounds, frame after frame, as long as they are: what a model of speech learns to say."""

    name: Literal["spectrogram"] = "spectrogram"
    """Sounds of their own length."""
    layout: ClassVar[Layout] = "frames"
    reads: ClassVar[str | None] = "audio"

    mels: int = Field(80, ge=2, le=256)
    """Numbers of a frame."""
    window: float = Field(50.0, ge=1, le=1000)
    """Milliseconds of sound that a frame is made from: long enough to tell the harmonics of a voice apart."""
    hop: float = Field(12.5, ge=1, le=1000)
    """Milliseconds from one frame to the next, no longer than a window. Phases are found from a quarter of a window."""

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        return Shape("frames", (self.mels,))

    def fit(self, columns: Iterable[Ragged]) -> "FittedSpectrogram":
        """Raises OutOfRange for a sound beyond LONGEST."""
        mel, spread = self.analysis(), Spread()
        for column in columns:
            if len(column) and (most := int(column.lengths.max())) > LONGEST * self.rate:
                raise OutOfRange(
                    f"dataset: the longest recording has {most / self.rate:.1f} s; models of speech learn from "
                    f'{LONGEST:g} s at most: make it with "cleaning": {{"max_seconds": {LONGEST:g}, "long": "drop"}}, '
                    "or cut recordings and transcripts into sentences",
                    param="dataset",
                )
            for row in range(len(column)):
                spread.add(_decibels(column.row(row), mel).numpy())
        if spread.rows == 0:
            raise OutOfRange("there are no training rows to learn the loudness of sounds from", param="dataset")
        deviation = np.where(spread.deviation > 0, spread.deviation, 1.0)
        return FittedSpectrogram(self, spread.mean.tolist(), deviation.tolist())

    def restore(self, state: dict[str, Any]) -> "FittedSpectrogram":
        return FittedSpectrogram(self, state["mean"], state["deviation"])


class FittedSpectrogram(FittedAcoustic):
    """Brings every mel to mean 0 and deviation 1 over the training sounds' frames."""

    settings: Spectrogram

    def __init__(self, settings: Spectrogram, mean: list[float], deviation: list[float]) -> None:
        self.settings = settings
        self.shape = Shape("frames", (settings.mels,))
        self._mean, self._deviation = mean, deviation
        self.middle, self.scale = torch.tensor(mean), torch.tensor(deviation)  # [M], in dB

    def state(self) -> dict[str, Any]:
        return {"mean": self._mean, "deviation": self._deviation}

    def encode(self, column: Ragged) -> Tensors:
        """Sounds to `values` [B, F, M] and `mask` [B, F] bool, F the longest of these."""
        packed = self.pack(column)
        return packed.take(torch.arange(packed.rows))

    def pack(self, column: Ragged) -> Packed:
        heard = (_decibels(column.row(row), self.mel) for row in range(len(column)))
        frames = [(decibels - self.middle) / self.scale for decibels in heard]
        values = torch.cat(frames) if frames else torch.zeros(0, self.settings.mels)
        return Packed.flattened(values, [len(part) for part in frames])

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Spectrograms [F][M] in dB (0 is noise as loud as full scale), or WAV `data:` URIs of sounds like that."""
        if not binary:
            return list((values.detach().float().cpu() * self.scale + self.middle).tolist())
        return [encode_uri(self.wave(frames), self.settings.rate) for frames in values]

    def wave(self, frames: Tensor) -> Samples:
        """The sound of frames [F, M], its phases guessed."""
        decibels = (frames.detach().float().cpu() * self.scale + self.middle).clamp(max=LOUDEST)
        return quantise(self.mel.waves(decibels.T[None])[0].numpy())


def _decibels(sound: Samples, mel: Mel) -> Tensor:
    """[F, M]; the last frame is filled up with silence."""
    wave = torch.zeros(1, mel.samples(mel.frames(len(sound))))
    wave[0, : len(sound)] = torch.from_numpy(sound / np.float32(FULL_SCALE))
    return mel.decibels(wave)[0].T
