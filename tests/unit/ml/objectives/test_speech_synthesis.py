"""Speech learned from tones: when each letter is spoken is found, and what is asked of texts holds."""

import numpy as np
import pytest
import torch

from app.errors import DoesNotFit
from app.ml.encoders.rnn import Rnn
from app.ml.modalities.spectrogram import FittedSpectrogram, Spectrogram
from app.ml.modalities.text import FittedText, Text
from app.ml.objectives.base import Role
from app.ml.objectives.speech_synthesis import Speaker, SpeechSynthesis
from app.ml.tensors.batch import Batch
from app.ragged import Ragged
from tests import tone_speech


def column(lines: list[str]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array(lines, dtype=object)


STEPS = 150
LINES = tone_speech.texts(24)
TEXT = Text(tokenizer="characters", lower=True, max_length=64).fit([column(LINES)])
SOUND = Spectrogram().fit([Ragged.of([tone_speech.said(line) for line in LINES])])


def batch(lines: list[str]) -> Batch:
    sounds = SOUND.encode(Ragged.of([tone_speech.said(line) for line in lines]))
    return Batch({"caption": TEXT.encode(column(lines)), "input": sounds}, torch.arange(len(lines)))


def untaught() -> Speaker:
    torch.manual_seed(0)
    assert isinstance(TEXT, FittedText)
    assert isinstance(SOUND, FittedSpectrogram)
    settings = SpeechSynthesis(width=32, depth=1)
    return settings.build({"caption": Role(TEXT, Rnn(preset="nano").build(TEXT.shape)), "input": Role(SOUND)})


@pytest.fixture(scope="module")
def network() -> Speaker:
    made, lesson = untaught(), batch(LINES)
    made.begin(lambda *_: iter([lesson]))
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        loss = made.loss(lesson)
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        falling.step()
    return made.eval().requires_grad_(False)


def test_durations_are_found_without_being_told(network: Speaker) -> None:
    hop = SOUND.mel.hop / tone_speech.RATE
    _, _, _, durations, _ = network._heard(batch(["cab", "bc"]))
    for row, text in enumerate(("cab", "bc")):
        found = durations[row, 1 : 1 + len(text)] * hop
        told = torch.tensor([tone_speech.LETTERS[letter][1] for letter in text])
        torch.testing.assert_close(found, told, atol=0.05, rtol=0)


def test_a_text_that_was_never_heard_is_spoken(network: Speaker) -> None:
    text = "bab ca"
    assert text not in LINES
    spoken = network.synthesize(TEXT.encode(column([text])))
    assert tone_speech.heard(SOUND.wave(spoken[0, :, 1:])) == text


def test_better_than_the_mean_on_texts_that_were_never_heard(network: Speaker) -> None:
    fresh = [text for text in tone_speech.texts(40, seed=1) if text not in LINES]
    found = network.metrics([batch(fresh)])
    (baseline,) = network.baselines([batch(LINES)], [batch(fresh)]).values()
    assert found["mel_error"] < 0.7 * baseline["mel_error"]
    assert found["length_error"] < 0.7 * baseline["length_error"]


def test_speed_divides_the_length(network: Speaker) -> None:
    asked = TEXT.encode(column(["abc", "abc", "abc"]))
    lengths = network.synthesize({**asked, "speed": torch.tensor([0.5, 1.0, 2.0])})[:, :, 0].sum(1)
    assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.05)
    assert lengths[1] / lengths[2] == pytest.approx(2, rel=0.05)


def test_a_voice_without_measure_ends(network: Speaker) -> None:
    endless = untaught()
    with torch.no_grad():
        endless.pace.bias.fill_(1e3)
        asked = TEXT.encode(column(["a" * 60]))
        spoken = endless.eval().synthesize({**asked, "speed": torch.tensor([0.25])})
    assert spoken.shape[1] == 16_384
    assert spoken.isfinite().all()


def test_a_row_is_spoken_as_if_it_were_alone(network: Speaker) -> None:
    together = network.synthesize(TEXT.encode(column(["abc ca", "b"])))
    alone = network.synthesize(TEXT.encode(column(["b"])))
    length = alone.shape[1]
    torch.testing.assert_close(together[1, :length], alone[0], atol=1e-5, rtol=1e-4)
    assert not together[1, length:].any()


def test_a_recording_too_short_for_its_text_is_named() -> None:
    wrong = batch(LINES[:2])
    short = SOUND.encode(Ragged.of([tone_speech.said(LINES[0]), tone_speech.said("b")[:800]]))
    with pytest.raises(DoesNotFit, match=rf"training row 1: its text has {len(LINES[1])} characters"):
        untaught().begin(lambda *_: iter([Batch({**wrong.roles, "input": short}, wrong.rows)]))


def test_the_longest_text_is_kept_with_the_weights(network: Speaker) -> None:
    assert network.longest_text == max(map(len, LINES))
    other = untaught()
    other.load_state_dict(network.state_dict())
    assert other.longest_text == network.longest_text


def test_a_voice_that_the_mean_outdoes_says_so() -> None:
    mean = {"mel_error": 8.0, "length_error": 0.25}
    speaker = untaught()
    assert speaker.caveat({"mel_error": 8.0, "length_error": 0.2, "baselines": {"mean": mean}}) is None
    assert speaker.caveat({}) is None
    told = speaker.caveat({"mel_error": 3.0, "length_error": 0.5, "baselines": {"mean": mean}})
    assert told is not None
    assert told.startswith("length_error is 0.5, and the mean pace all the time has 0.25. Try")
    told = speaker.caveat({"mel_error": 9.0, "length_error": 0.5, "baselines": {"mean": mean}})
    assert told is not None
    assert told.startswith("mel_error is 9, and the mean frame all the time has 8; length_error is 0.5")
