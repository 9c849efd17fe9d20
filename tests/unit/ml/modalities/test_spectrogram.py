"""Sounds of their own length, to frames and back."""

import numpy as np
import pytest
import torch

from app.errors import OutOfRange
from app.ml.audio.sounds import Samples
from app.ml.modalities.spectrogram import FittedSpectrogram, Spectrogram
from app.ragged import Ragged
from tests.sounds import tone


def fitted(*sounds: Samples) -> FittedSpectrogram:
    return Spectrogram().fit([Ragged.of(list(sounds))])


def test_rows_keep_their_lengths() -> None:
    sounds = [tone(440, 0.3), tone(880, 0.1), tone(220, 0.01)]
    made = fitted(*sounds)
    encoded = made.encode(Ragged.of(sounds))
    assert encoded["mask"].sum(1).tolist() == [made.mel.frames(len(sound)) for sound in sounds]
    alone = made.encode(Ragged.of(sounds[1:2]))
    torch.testing.assert_close(encoded["values"][1, : alone["values"].shape[1]], alone["values"][0])
    assert not encoded["values"][~encoded["mask"]].any()


def test_frames_have_mean_0_and_deviation_1() -> None:
    drawn = np.random.default_rng(0)
    sounds = [drawn.normal(0, loudness, 4000).astype(np.int16) for loudness in (30, 3000)]
    encoded = fitted(*sounds).encode(Ragged.of(sounds))
    rows = encoded["values"][encoded["mask"]]
    torch.testing.assert_close(rows.mean(0), torch.zeros(80), atol=1e-4, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(80), atol=1e-3, rtol=0)


@pytest.mark.parametrize("hertz", [300.0, 700.0, 3000.0])
def test_a_tone_comes_back_as_high_and_as_loud(hertz: float) -> None:
    sound = tone(hertz, 0.5)
    made = fitted(sound, tone(500, 0.5, loudness=0.1))
    back = made.wave(made.encode(Ragged.of([sound]))["values"][0]).astype(np.float64)
    assert len(sound) <= len(back) < len(sound) + made.mel.hop
    middle = slice(2000, 6000)
    spectrum = np.abs(np.fft.rfft(back[middle] * np.hanning(4000)))
    assert np.argmax(spectrum) * 16_000 / 4000 == pytest.approx(hertz, rel=0.05)
    assert back[middle].std() == pytest.approx(sound[middle].astype(np.float64).std(), rel=0.25)


def test_what_was_learned_is_restored() -> None:
    made = fitted(tone(440, 0.3))
    again = made.settings.restore(made.state())
    sound = Ragged.of([tone(300, 0.2)])
    assert torch.equal(again.encode(sound)["values"], made.encode(sound)["values"])


def test_a_sound_is_always_finite() -> None:
    made = fitted(tone(440, 0.3))
    loud, silent = torch.full((5, 80), 1e6), torch.full((5, 80), -1e6)
    assert made.wave(loud).any()
    assert not made.wave(silent).any()


def test_a_recording_beyond_the_longest_is_refused() -> None:
    with pytest.raises(OutOfRange, match=r"31\.0 s; models of speech learn from 30 s"):
        fitted(np.zeros(31 * 16_000, np.int16))
    with pytest.raises(OutOfRange, match="no training rows"):
        Spectrogram().fit([])
