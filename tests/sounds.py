"""Makes sounds for tests: tones, and files of them."""

import io
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from app.ml.audio.sounds import Samples


def tone(hertz: float = 440.0, seconds: float = 0.25, rate: int = 16_000, loudness: float = 0.5) -> Samples:
    """[seconds · rate] int16"""
    wave = loudness * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    samples: Samples = (wave * 32767).astype(np.int16)
    return samples


def sound(samples: NDArray[Any], rate: int = 16_000, format: str = "WAV", subtype: str | None = None) -> bytes:
    """A file of `samples` [n] or [n, channels], int16 or fractions of full scale."""
    held = io.BytesIO()
    exact = samples / 32768 if samples.dtype == np.int16 else samples
    soundfile.write(held, exact, rate, format=format, subtype=subtype)
    return held.getvalue()
