import numpy as np
import pytest
from scipy.signal import resample_poly

from app.ml.audio.resampling import Waveform, resample


def sine(hertz: float, rate: int, seconds: float = 0.5) -> Waveform:
    wave: Waveform = (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)
    return wave


RATES = [(44_100, 16_000), (48_000, 16_000), (8_000, 16_000), (16_000, 44_100), (22_050, 16_000)]


@pytest.mark.parametrize(("have", "want"), RATES)
def test_a_tone_stays_the_tone_it_was(have: int, want: int) -> None:
    given, expected = resample(sine(1000, have), have, want), sine(1000, want)
    inner = slice(want // 10, -want // 10)  # at its ends the tone is cut, and a cut is no tone
    assert abs(len(given) - len(expected)) <= 1
    assert np.abs(given[: len(expected)] - expected)[inner].max() < 5e-4
    assert given.dtype == np.float32


def test_an_odd_rate_gets_the_nearest_ratio() -> None:
    given = resample(sine(1000, 44_101, 2.0), 44_101, 16_000)
    assert len(given) == 32_000
    assert np.abs(given - sine(1000, 16_000, 2.0))[1600:-1600].max() < 0.05


@pytest.mark.parametrize("hertz", [8_100, 11_000, 20_000])
def test_what_the_lower_rate_cannot_hold_is_gone(hertz: int) -> None:
    given = resample(sine(hertz, 44_100), 44_100, 16_000)[1600:-1600]
    assert np.abs(given).max() < 0.5 * 10 ** (-70 / 20)  # 70 dB under the tone


def test_what_it_can_hold_stays() -> None:
    given = resample(sine(7_000, 44_100), 44_100, 16_000)[1600:-1600]
    assert np.abs(given - sine(7_000, 16_000)[1600 : 1600 + len(given)]).max() < 1e-3


def test_agrees_with_another_implementation() -> None:
    slow = np.convolve(np.random.default_rng(0).normal(size=22_050), np.hanning(40) / 20, "same").astype(np.float32)
    ours, theirs = resample(slow, 22_050, 16_000), resample_poly(slow, 320, 441, window=("kaiser", 8.0))
    assert np.abs(ours - theirs[: len(ours)])[200:-200].max() < 5e-3


@pytest.mark.parametrize("count", [0, 1, 2, 441, 1000])
def test_lengths_follow_the_rates(count: int) -> None:
    for have, want in RATES:
        assert len(resample(np.ones(count, np.float32), have, want)) == -(-count * want // have)
    unchanged = np.ones(count, np.float32)
    assert resample(unchanged, 16_000, 16_000) is unchanged
