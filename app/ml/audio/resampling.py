"""Changes the rate of a sound by a band-limited filter (Smith & Gossett 1984). Knows no file and no model.

Legend: `n` samples, `K` blocks, `U` samples out of a block, `D` samples that a block moves on, `T` samples it reads.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
"""[n], mono; 1 is the loudest."""

CROSSINGS = 64
"""Zero crossings of the filter on either side."""
ROLLOFF = 0.96
"""Where the filter has fallen to a half, as a share of the lower rate's half; everything above 1 is 80 dB down."""
BETA = 8.0
"""Of the Kaiser window."""
MOST_STEPS = 1000
"""Largest term of the ratio of two rates; rates without such a ratio get the nearest, 0.05 % off at most."""
LEAST_BLOCK = 64
"""Samples out of a block at least, so that a block is a product of matrices."""
BLOCKS = 256


def resample(samples: Waveform, have: int, want: int) -> Waveform:
    """[n] at rate `have` to [⌈n · want / have⌉] at rate `want`; beyond its ends the sound is silent."""
    if have == want:
        return samples
    ratio = _ratio(have, want)
    times = -(-LEAST_BLOCK // ratio.numerator)
    up, down = times * ratio.numerator, times * ratio.denominator
    weights, before = _filter(up, down)  # [T, U]
    count = -(-len(samples) * want // have)
    if count == 0:
        return samples
    blocks = -(-count // up)
    padded = np.zeros(before + max(len(samples), (blocks - 1) * down + len(weights)), np.float32)
    padded[before : before + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights))[::down][:blocks]  # [K, T]
    parts = [windows[start : start + BLOCKS] @ weights for start in range(0, blocks, BLOCKS)]
    return np.concatenate(parts).reshape(-1)[:count]


def _ratio(have: int, want: int) -> Fraction:
    if want > have:
        return 1 / Fraction(have, want).limit_denominator(MOST_STEPS)
    return Fraction(want, have).limit_denominator(MOST_STEPS)


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> tuple[Waveform, int]:
    """Weights [T, U] of one block, and how many samples it reads before its first.

    Sample `u` of a block lies at time `u * down / up` of what comes in.
    """
    cutoff = ROLLOFF * min(1.0, up / down)
    reach = CROSSINGS / cutoff  # samples in
    before = int(np.ceil(reach))
    read = np.arange(-before, down + before, dtype=np.float64)
    away = read[:, None] - np.arange(up, dtype=np.float64) * down / up  # [T, U]
    window = np.i0(BETA * np.sqrt(np.clip(1 - (away / reach) ** 2, 0, None))) / np.i0(BETA)
    weights = cutoff * np.sinc(cutoff * away) * np.where(np.abs(away) <= reach, window, 0.0)
    weights /= weights.sum(axis=0)  # a constant stays what it is
    return weights.astype(np.float32), before
