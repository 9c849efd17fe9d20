import numpy as np
import pytest
import torch

from app.errors import OutOfRange
from app.ml.audio.spectrograms import Mel

RATE = 16_000


def mel(mels: int = 40) -> Mel:
    return Mel(RATE, mels, 400, 160, (20.0, 8000.0))


def wave(hertz: float, loudness: float = 0.5, samples: int = 8080) -> torch.Tensor:
    return loudness * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / RATE)[None]


def test_windows_reach_over_the_samples() -> None:
    for samples in (1, 399, 400, 401, 560, 561, 8080):
        frames = mel().frames(samples)
        assert mel().samples(frames) >= samples
        assert frames == 1 or mel().samples(frames - 1) < samples
    assert mel().decibels(wave(440)).shape == (1, 40, mel().frames(8080))


def test_a_tone_is_where_it_belongs_and_twice_as_loud_is_six_decibels_more() -> None:
    low, high = 2595 * np.log10(1 + np.array([20, 8000]) / 700)
    middles = 700 * (10 ** (np.linspace(low, high, 42)[1:-1] / 2595) - 1)
    for hertz in (200.0, 440.0, 1000.0, 5000.0):
        given = mel().decibels(wave(hertz))[0]
        assert abs(int(given.mean(1).argmax()) - int(np.abs(middles - hertz).argmin())) <= 1
        louder = mel().decibels(wave(hertz, 1.0))[0]
        strongest = given.mean(1).argmax()
        assert (louder - given)[strongest].mean() == pytest.approx(6.02, abs=0.01)


def test_noise_has_its_power_in_every_mel_and_silence_the_floor() -> None:
    noise = 0.1 * torch.randn(1, 160_000, generator=torch.Generator().manual_seed(0))
    power = 10 ** (mel().decibels(noise)[0] / 10)
    assert (power.mean(1)[1:-1] / 0.01 - 1).abs().max() < 0.1
    assert (mel().decibels(torch.zeros(2, 4000)) == -100).all()


@pytest.mark.parametrize("mels", [2, 80, 256])
def test_every_mel_hears_something(mels: int) -> None:
    noise = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    assert mel(mels).decibels(noise).amin() > -60


def test_too_many_mels_are_refused() -> None:
    with pytest.raises(OutOfRange, match=r"256 between 20 and 20\.1 Hz"):
        Mel(RATE, 256, 400, 160, (20.0, 20.1))


def test_many_rows_are_what_each_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ml.audio.spectrograms.CHUNK_SAMPLES", 20_000)
    waves = torch.cat([wave(hertz) for hertz in (200, 300, 400, 500, 600)])
    alone = torch.cat([mel().decibels(row[None]) for row in waves])
    torch.testing.assert_close(mel().decibels(waves), alone, rtol=0, atol=1e-3)


def test_a_sound_can_be_guessed_from_its_spectrogram() -> None:
    chord = wave(300) + wave(1500) / 2 + wave(3000) / 4
    asked = mel().decibels(chord)
    rebuilt = mel().waves(asked)
    assert rebuilt.shape == chord.shape
    assert torch.equal(rebuilt, mel().waves(asked))
    given = mel().decibels(rebuilt)
    assert np.corrcoef(given[0, :, 2:-2].flatten(), asked[0, :, 2:-2].flatten())[0, 1] > 0.9
    loud = asked > asked.amax() - 20
    assert (given - asked)[loud].abs().mean() < 3
