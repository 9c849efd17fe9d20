"""Sounds as mel spectrograms of one length: grids of one channel, mels high and frames wide.

The middle of a spectrogram is where the weight of its sound lies, so that the same word said early or late in a
recording looks the same. A short sound, even one shorter than a window, has its own background around it, so that how
long a recording goes on after the word shows as little as possible; of a long one the part around its weight is kept.
Legend: `B` batch, `n` samples, `M` mels, `F` frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from app.errors import OutOfRange
from app.ml.audio.sounds import FULL_SCALE, Samples, encode_uri, quantise
from app.ml.audio.spectrograms import Mel
from app.ml.modalities.parts.acoustics import ENDING, LONGEST, Acoustic, FittedAcoustic
from app.ml.modalities.parts.spread import Spread
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ragged import Ragged

USUAL = 0.99
"""Share of the training sounds that are kept whole, if that takes no more than LONGEST."""
BACKGROUND = 0.1
"""Share of a sound's frames, the quietest of every mel, that are its background."""
MOVED = 0.25
"""Share of the length by which a sound is moved at most, and loses of its far end, where it is no longer than that."""
LOOKED_AT = 64
"""Sounds of each piece of the training split from which the loudness of every mel is learned."""


class Audio(Acoustic):
    """Sounds, as spectrograms on the mel scale. One rate, one channel."""

    name: Literal["audio"] = "audio"
    """Sounds."""
    layout: ClassVar[Layout] = "grid"
    pretext: ClassVar[str] = "contrastive"  # on spoken words far ahead of autoencoding after as much work

    seconds: float | None = Field(None, ge=0.01, le=LONGEST)
    """Length that every sound gets. Without one, that of the 99th of a hundred training sounds, at most 30."""

    @classmethod
    def together(cls, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
        longer = max(one["seconds"], other["seconds"], key=lambda seconds: float(seconds.get("p99", 0)))
        return super().together(one, other) | {"seconds": longer}

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        seconds = self.seconds or min(LONGEST, facts["seconds"]["p99"])
        return Shape("grid", (1, self.mels, self.analysis().frames(round(self.rate * seconds))), aligned=True)

    def fit(self, columns: Iterable[Ragged]) -> "FittedAudio":
        mel, spread = self.analysis(), Spread()
        longest = round(LONGEST * ENDING)
        lengths = np.zeros(longest + 1, np.int64)  # sounds by milliseconds, so that memory does not grow with them
        for column in columns:
            milliseconds = np.minimum(-(-column.lengths * ENDING // self.rate), longest)
            lengths += np.bincount(milliseconds, minlength=longest + 1)
            for row in np.unique(np.linspace(0, len(column) - 1, min(len(column), LOOKED_AT)).round().astype(int)):
                sound = column.row(row)
                heard = min(mel.frames(len(sound)), mel.frames(round(LONGEST * self.rate)))
                spread.add(_decibels([sound], heard, mel)[0].T.numpy())
        if spread.rows == 0:
            raise OutOfRange("there are no training rows to learn the sounds' length from", param="dataset")
        usual = int(np.searchsorted(np.cumsum(lengths), USUAL * lengths.sum()))
        frames = mel.frames(round(self.rate * (usual / ENDING if self.seconds is None else self.seconds)))
        deviation = np.where(spread.deviation > 0, spread.deviation, 1.0)
        return FittedAudio(self, frames, spread.mean.tolist(), deviation.tolist())

    def restore(self, state: dict[str, Any]) -> "FittedAudio":
        return FittedAudio(self, state["frames"], state["mean"], state["deviation"])


class FittedAudio(FittedAcoustic):
    """Brings sounds to one length, and every mel to mean 0 and deviation 1 over the training sounds' frames."""

    settings: Audio

    def __init__(self, settings: Audio, frames: int, mean: list[float], deviation: list[float]) -> None:
        self.settings, self.frames = settings, frames
        self.shape = Shape("grid", (1, settings.mels, frames), aligned=True)
        self._mean, self._deviation = mean, deviation
        self._middle, self._scale = (torch.tensor(part)[:, None] for part in (mean, deviation))  # [M, 1]

    def state(self) -> dict[str, Any]:
        return {"frames": self.frames, "mean": self._mean, "deviation": self._deviation}

    def encode(self, column: Ragged) -> Tensors:
        decibels = _decibels([column.row(row) for row in range(len(column))], self.frames, self.mel)
        return {"values": ((decibels - self._middle) / self._scale)[:, None]}

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Spectrograms [M][F] in dB (0 is noise as loud as full scale), or WAV `data:` URIs of sounds like that."""
        decibels = values.detach().float().cpu()[:, 0] * self._scale + self._middle
        if not binary:
            return list(decibels.tolist())
        return [encode_uri(quantise(wave), self.settings.rate) for wave in self.mel.waves(decibels).numpy()]


def _decibels(sounds: Sequence[Samples], frames: int, mel: Mel) -> Tensor:
    """[B, M, F]: sounds with their weight in the middle, and their background where they are not."""
    length = mel.samples(frames)
    waves = np.zeros((len(sounds), length), np.float32)
    spans = np.zeros((len(sounds), 2, 1), np.int64)  # where each begins and ends
    for wave, span, sound in zip(waves, spans, sounds, strict=True):
        middle = len(sound) / 2
        most = MOVED * length + max(0, len(sound) - length) / 2
        first = round(min(max(weight(sound, mel.hop), middle - most), middle + most) - length / 2)
        begin, end = max(first, 0), min(first + length, len(sound))
        wave[begin - first : end - first] = sound[begin:end]
        span[:, 0] = begin - first, end - first
    starts = np.arange(frames) * mel.hop
    whole = (starts >= spans[:, 0]) & (starts + mel.window <= spans[:, 1])  # [B, F]
    touched = (starts < spans[:, 1]) & (starts + mel.window > spans[:, 0])
    there = torch.from_numpy(np.where(whole.any(1, keepdims=True), whole, touched))[:, None]
    decibels = mel.decibels(torch.from_numpy(waves).div_(FULL_SCALE))
    if there.all():
        return decibels
    heard = decibels.masked_fill(~there, torch.inf).sort(dim=2).values  # the sound's frames first
    quiet = (there.sum(2, keepdim=True) * BACKGROUND).long().expand(-1, mel.mels, -1)
    return torch.where(there, decibels, heard.gather(2, quiet))


def weight(sound: Samples, step: int) -> int:
    """The sample around which a sound is balanced, to within `step`: its loudness is the weight; of silence half."""
    firsts = np.arange(0, len(sound), step)
    loudness = np.add.reduceat(np.abs(sound, dtype=np.float32), firsts, dtype=np.float64)
    total = loudness.sum()
    middle = (loudness @ firsts) / total + step / 2 if total else len(sound) / 2
    return int(min(middle, len(sound)))
