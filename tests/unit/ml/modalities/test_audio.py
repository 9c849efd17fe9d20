import base64
from typing import Any

import numpy as np
import pytest
import torch

from app.errors import DoesNotFit, EmptyInput, Malformed, NonFinite, OutOfRange, RootstockError, WrongShape, WrongType
from app.ml.audio.sounds import Samples, decode_uri, encode_uri
from app.ml.modalities.audio import Audio, FittedAudio
from app.ragged import Ragged
from tests.sounds import sound, tone

FACTS: dict[str, Any] = {"name": "audio", "modality": "audio", "rate": 8000, "seconds": {"p99": 0.5, "max": 0.5}}


def tones(*seconds: float) -> Ragged:
    return Ragged.of([tone(300 + 200 * row, length) for row, length in enumerate(seconds)])


def fitted(**settings: Any) -> FittedAudio:
    return Audio(**settings).fit([tones(0.1, 0.2), tones(0.15)])


def test_the_length_is_that_of_nearly_all_training_sounds() -> None:
    assert fitted().shape.size == (1, 40, 19)  # 25 ms and 18 hops of 10 reach over 200
    many = Ragged.of([tone(seconds=0.1)] * 199 + [tone(seconds=3)])
    assert Audio().fit([many[:100], many[100:]]).shape.size == (1, 40, 9)
    assert Audio(seconds=1).fit([many]).shape.size == (1, 40, 99)
    long = Ragged.of([np.zeros(16_000 * 40, np.int16)])
    assert Audio().fit([long]).frames == Audio(seconds=30).fit([long]).frames == 2999


def test_what_is_expected_before_fitting_is_what_comes() -> None:
    settings = Audio().completed(FACTS | {"rate": 16_000, "seconds": {"p99": 0.2, "max": 0.2}})
    assert settings.expected({"seconds": {"p99": 0.2}}) == fitted().shape
    assert Audio(seconds=0.1).expected(FACTS).size == (1, 40, 9)


def test_every_mel_has_mean_zero_and_deviation_one() -> None:
    column = Ragged.of([np.random.default_rng(row).normal(0, 2000, 16_240).astype(np.int16) for row in range(4)])
    values = Audio().fit([column]).encode(column)["values"]
    torch.testing.assert_close(values.mean((0, 1, 3)), torch.zeros(40), rtol=0, atol=0.02)
    torch.testing.assert_close(values.std((0, 1, 3)), torch.ones(40), rtol=0, atol=0.02)


def recording(at: float, seconds: float) -> Samples:
    """A tone of 100 ms that begins `at` a second in some noise."""
    wave = np.random.default_rng(0).normal(0, 30, round(seconds * 16_000)).astype(np.int16)
    begin = round(at * 16_000)
    wave[begin : begin + 1600] += tone(440, 0.1)
    return wave


@pytest.mark.parametrize(("at", "seconds"), [(0.05, 0.3), (0.2, 0.5), (0.3, 0.5), (0.1, 0.5), (0.7, 1.0), (0.35, 0.9)])
def test_a_word_said_early_or_late_is_in_the_middle(at: float, seconds: float) -> None:
    learned = Audio(seconds=0.5).fit([Ragged.of([recording(0.1, 0.4), recording(0.2, 0.5)])])
    levels = np.array(learned.render(learned.encode(Ragged.of([recording(at, seconds)]))["values"])[0])
    said = np.flatnonzero(levels.max(0) > levels.max() - 10)
    assert len(said) == pytest.approx(10, abs=2)
    assert said.mean() == pytest.approx((learned.frames - 1) / 2, abs=2)


def test_around_a_short_sound_there_is_its_background() -> None:
    learned = fitted(seconds=0.5)
    noise = np.random.default_rng(0).normal(0, 300, 1600).astype(np.int16)
    levels = np.array(learned.render(learned.encode(Ragged.of([noise]))["values"])[0])  # [40, F]
    assert np.abs(levels[:, 0] - levels[:, 22:28].min(1)).max() < 3
    assert (levels[:, 0] == levels[:, -1]).all()
    assert np.array_equal(learned.encode(Ragged.of([np.zeros(800, np.int16)]))["values"][0, 0].std(1), np.zeros(40))


def test_a_sound_shorter_than_a_window_is_heard() -> None:
    brief = Ragged.of([np.array([20_000], np.int16), np.full(30, 900, np.int16)])
    learned = Audio().fit([brief])
    assert learned.shape.size == (1, 40, 1)
    assert learned.encode(brief)["values"].isfinite().all()


def test_silence_alone_can_be_learned_from() -> None:
    silence = Ragged.of([np.zeros(800, np.int16)] * 3)
    assert Audio().fit([silence]).encode(silence)["values"].abs().max() == 0


@pytest.mark.parametrize(
    "item",
    [
        tone(seconds=0.1),
        tone(seconds=0.1).tolist(),
        (tone(seconds=0.1) / 32768).tolist(),
        encode_uri(tone(seconds=0.1), 16_000),
        sound(tone(seconds=0.1), 16_000, "WAV"),
    ],
)
def test_reads_one_sound_or_a_list_of_them_in_every_form(item: Any) -> None:
    assert np.array_equal(fitted().read(item).row(0), tone(seconds=0.1))
    several = fitted().read([item, tone(seconds=0.3), item])
    assert several.lengths.tolist() == [1600, 4800, 1600]


def test_another_rate_is_brought_to_the_models() -> None:
    uri = "data:audio/flac;base64," + base64.b64encode(sound(tone(440, 0.5, 44_100), 44_100, "FLAC")).decode()
    read = fitted().read([uri]).row(0)
    assert np.abs(read[500:-500].astype(int) - tone(440, 0.5)[500:-500]).max() < 20


def test_renders_decibels_or_a_sound_like_it() -> None:
    learned = fitted(seconds=0.3)
    values = learned.encode(tones(0.3, 0.3))["values"]
    first = np.array(learned.render(values)[0])
    assert first.shape == (40, learned.frames)
    assert -100 <= first.min() < first.max() < 20
    heard = Ragged.of([decode_uri(uri, "x", 16_000) for uri in learned.render(values, binary=True)])
    again = np.array(learned.render(learned.encode(heard)["values"])[0])
    assert np.abs(again - first)[first > first.max() - 10].mean() < 5
    assert abs(int(again.mean(1).argmax()) - int(first.mean(1).argmax())) <= 1
    assert learned.render(values, binary=True) == learned.render(values, binary=True)


@pytest.mark.parametrize(
    ("items", "error", "param", "message"),
    [
        ([], EmptyInput, "input", "at least one sound"),
        ([[0.5, 0.1], []], EmptyInput, r"input[1]", "no samples"),
        (7, WrongType, "input", "a sound or a list of sounds"),
        ([None], WrongType, "input[0]", "got null"),
        ([[1, "a"]], WrongType, "input[0]", "samples or a data: URI"),
        ([[[1, 2], [3, 4]]], WrongShape, "input[0]", r"shape \[2, 2\]"),
        ([1, 40_000], OutOfRange, "input", "40000; whole numbers"),
        ([0.5, -1.5], OutOfRange, "input", "-1.5; fractions go from -1 to 1"),
        ([[0.5, float("nan")]], NonFinite, "input[0]", "no finite number"),
        (["http://example.org/a.wav"], Malformed, "input[0]", "never fetched"),
    ],
)
def test_names_the_item_that_is_wrong(items: Any, error: type[RootstockError], param: str, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        fitted().read(items)
    assert type(caught.value) is error
    assert caught.value.param == param


def test_the_rate_is_the_datasets() -> None:
    assert Audio().completed(FACTS).rate == 8000
    with pytest.raises(DoesNotFit, match="16000 does not fit, the dataset's sounds have 8000"):
        Audio(rate=16_000).completed(FACTS)
    with pytest.raises(OutOfRange, match=r"20 to 5000 Hz; at 8000 .* end at 4000"):
        Audio(fmax=5000).completed(FACTS)
    with pytest.raises(ValueError, match=r"hop \(30 ms\) must not be longer than window"):
        Audio(hop=30)


def test_no_rows_cannot_be_learned_from() -> None:
    with pytest.raises(OutOfRange, match="no training rows"):
        Audio().fit([Ragged(np.zeros(0, np.int16), np.zeros(1, np.int64))])
