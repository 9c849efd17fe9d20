"""A voice for tests: every letter is a tone of its own pitch and length, and spaces and full stops are silent."""

import io
import itertools
import zipfile
from collections.abc import Sequence

import numpy as np

from app.ml.audio.sounds import Samples
from tests.sounds import sound, tone

RATE = 16_000
LETTERS = {"a": (400.0, 0.2), "b": (900.0, 0.1), "c": (2000.0, 0.15)}
"""Hz and seconds."""
PAUSE = 0.1
HISS = 60
"""Deviation of the noise of the room, in steps of 16 bits: a recording is never without."""
SHORTEST = 5
"""Hundredths of a second that are heard as something."""


def said(text: str) -> Samples:
    """The text between two pauses, each tone without a click, as a microphone has it."""
    parts: list[Samples] = [np.zeros(round(PAUSE * RATE), np.int16)]
    for letter in text:
        if letter in LETTERS:
            hertz, seconds = LETTERS[letter]
            wave = tone(hertz, seconds)
            parts.append((wave * np.minimum(1, 20 * np.sin(np.linspace(0, np.pi, len(wave))))).astype(np.int16))
        else:
            parts.append(np.zeros(round(PAUSE * RATE), np.int16))
    parts.append(parts[0])
    wave = np.concatenate(parts)
    return wave + np.random.default_rng(len(wave)).normal(0, HISS, len(wave)).astype(np.int16)


def texts(count: int, seed: int = 0) -> list[str]:
    """Of one to three words of one to three letters."""
    draw = np.random.default_rng(seed)
    return [
        " ".join("".join(draw.choice(list(LETTERS), draw.integers(1, 4))) for _ in range(draw.integers(1, 4)))
        for _ in range(count)
    ]


def archive(lines: Sequence[str], told: Sequence[bool] | None = None) -> bytes:
    """A ZIP in the manner of LJSpeech; where it is not `told` what a recording says, the transcript is empty."""
    written = [line if there else "" for line, there in zip(lines, told or [True] * len(lines), strict=True)]
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for number, line in enumerate(lines):
            packed.writestr(f"wavs/T{number:03}.wav", sound(said(line)))
        packed.writestr("metadata.csv", "".join(f"T{number:03}|{line}\n" for number, line in enumerate(written)))
    return held.getvalue()


def heard(samples: Samples, rate: int = RATE) -> str:
    """What is said: the letter whose pitch is strongest in each hundredth of a second, each once in a row."""
    step = rate // 50
    letters = []
    for first in range(0, len(samples) - step, step // 2):
        piece = samples[first : first + step].astype(np.float64) / 32768
        if np.sqrt(np.mean(piece**2)) < 0.05:
            letters.append(" ")
            continue
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(step), 8 * step))
        pitch = np.argmax(spectrum) * rate / (8 * step)
        letters.append(min(LETTERS, key=lambda letter: abs(np.log(LETTERS[letter][0] / max(pitch, 1)))))
    runs = [(letter, len(list(run))) for letter, run in itertools.groupby(letters)]
    lasting = [letter for letter, pieces in runs if pieces >= SHORTEST]
    return "".join(letter for letter, _ in itertools.groupby(lasting)).strip()
