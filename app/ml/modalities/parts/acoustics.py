"""What modalities of sounds share: how a spectrogram is taken, and how the sounds of requests are read.

Knows no network and no length.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from app.errors import DoesNotFit, EmptyInput, NonFinite, OutOfRange, WrongShape, WrongType
from app.json_words import told
from app.ml.audio.sounds import FULL_SCALE, RATES, Samples, decode_uri, quantise
from app.ml.audio.spectrograms import Mel
from app.ml.modalities.base import Fitted, Modality
from app.ragged import Ragged

LONGEST = 30.0
"""Seconds at most."""
ENDING = 1000
"""Milliseconds of a second."""


class Acoustic(Modality):
    """Settings of spectrograms on the mel scale. One rate, one channel."""

    invertible: ClassVar[bool] = False
    alike: ClassVar[tuple[str, ...]] = ("rate",)

    rate: int = Field(16_000, ge=RATES[0], le=RATES[1])
    """Samples a second: the dataset's. Sounds of requests are brought to it."""
    mels: int = Field(40, ge=2, le=256)
    """Rows of the spectrogram."""
    window: float = Field(25.0, ge=1, le=1000)
    """Milliseconds of sound that a frame is made from."""
    hop: float = Field(10.0, ge=1, le=1000)
    """Milliseconds from one frame to the next, no longer than a window."""
    fmin: float = Field(20.0, ge=0)
    """Lowest frequency, in Hz."""
    fmax: float | None = Field(None, gt=0)
    """Highest frequency, in Hz; without one, half the rate."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.hop > self.window:
            raise ValueError(f"hop ({self.hop:g} ms) must not be longer than window ({self.window:g} ms)")
        return self

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """The dataset's rate."""
        if "rate" in self.model_fields_set and self.rate != facts["rate"]:
            raise DoesNotFit(
                f"modality.rate: {self.rate} does not fit, the dataset's sounds have {facts['rate']} samples a second; "
                "leave it out, or make the dataset with another sample_rate",
                param="modality.rate",
            )
        settings = self.model_copy(update={"rate": facts["rate"]})
        settings.analysis()
        return settings

    def analysis(self) -> Mel:
        """Raises OutOfRange for frequencies that the rate cannot hold."""
        band = (self.fmin, self.rate / 2 if self.fmax is None else self.fmax)
        if not band[0] < band[1] <= self.rate / 2:
            raise OutOfRange(
                f"modality.fmax: the band goes from {band[0]:g} to {band[1]:g} Hz; "
                f"at {self.rate} samples a second it must rise, and end at {self.rate / 2:g} or before",
                param="modality.fmax",
            )
        window, hop = (max(1, round(self.rate * part / ENDING)) for part in (self.window, self.hop))
        return Mel(self.rate, self.mels, window, hop, band)


class FittedAcoustic(Fitted):
    """Reads sounds."""

    settings: Acoustic

    @cached_property
    def mel(self) -> Mel:
        return self.settings.analysis()

    def read(self, items: Any) -> Ragged:
        """One sound or a list of them, to int16 rows at the model's rate.

        A sound is a `data:audio/…;base64,…` URI or a file's bytes, of any rate, or samples at the model's: whole
        numbers of 16 bits, or fractions from -1 to 1.
        """
        if isinstance(items, Ragged):
            return items
        if isinstance(items, str | bytes):
            return Ragged.of([decode_uri(items, "input", self.settings.rate)])
        if not isinstance(items, list | tuple | np.ndarray):
            raise WrongType(f"input: expected a sound or a list of sounds, got {told(items, 60)}", param="input")
        if len(items) == 0:
            raise EmptyInput("input: is empty; give at least one sound", param="input")
        if np.ndim(items[0]) == 0 and not isinstance(items[0], str | bytes | None | Mapping):
            return Ragged.of([_samples(items, "input")])
        return Ragged.of([self._sound(item, f"input[{index}]") for index, item in enumerate(items)])

    def _sound(self, item: Any, name: str) -> Samples:
        return decode_uri(item, name, self.settings.rate) if isinstance(item, str | bytes) else _samples(item, name)


def _samples(item: Any, name: str) -> Samples:
    """Checked samples [n]."""
    try:
        given = np.asarray(item)
    except (ValueError, OverflowError):
        given = np.zeros(0, object)
    if given.dtype.kind not in "fiu" and given.size:
        raise WrongType(f"{name}: expected samples or a data: URI, got {told(item, 60)}", param=name)
    if given.ndim != 1:
        raise WrongShape(f"{name}: has shape {list(given.shape)}; a sound is one list of samples, mono", param=name)
    if given.size == 0:
        raise EmptyInput(f"{name}: holds no samples", param=name)
    low, high = given.min(), given.max()
    if given.dtype.kind != "f":
        if low < -FULL_SCALE or high >= FULL_SCALE:
            worst = low if low < -FULL_SCALE else high
            raise OutOfRange(f"{name}: holds {worst}; whole numbers go from -32,768 to 32,767", param=name)
        return given.astype(np.int16)
    if not np.isfinite(low) or not np.isfinite(high):
        raise NonFinite(f"{name}: holds a value that is no finite number", param=name)
    if low < -1 or high > 1:
        worst = low if low < -1 else high
        raise OutOfRange(f"{name}: holds {worst:g}; fractions go from -1 to 1, whole samples have no point", param=name)
    return quantise(given.astype(np.float32))
