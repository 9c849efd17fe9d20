"""A voice from recordings with transcripts: trained by a job, resumed alike, and asked by the stock SDK."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import soundfile

from app.errors import DoesNotFit, OutOfRange
from app.ml.audio.sounds import decode
from app.registry.db import Database
from app.registry.tables import Dataset, Version
from app.storage import storage_at
from tests import networks, tone_speech
from tests.service import ADMIN_KEY, asking
from tests.workshop import Workshop

URL = "/v1/audio/speech"
BODY: dict[str, Any] = {
    "roles": {"caption": {"encoder": {"name": "rnn", "preset": "nano"}}},
    "objective": {"name": "speech_synthesis", "width": 32, "depth": 1},
    "training": {"epochs": 30, "batch_size": 8, "learning_rate": 1e-2},
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    database = Database(f"sqlite:///{folder}/registry.db")
    database.migrate()
    return Workshop(database, storage_at((folder / "objects").as_uri(), folder / "cache", 2**26), folder / "home")


@pytest.fixture(scope="module")
def dataset(workshop: Workshop) -> Dataset:
    made = workshop.dataset(tone_speech.archive(tone_speech.texts(60)), "voice.zip")
    assert made.status == "ready", made.report
    return made


@pytest.fixture(scope="module")
def voice(workshop: Workshop, dataset: Dataset) -> Version:
    return workshop.train(workshop.job(dataset, **BODY))


@pytest.fixture(scope="module")
def client(workshop: Workshop, voice: Version, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    with asking(home, {"voice": workshop.files_of(voice), "plain": networks.write(home / "plain")}) as client:
        yield client


@pytest.fixture(scope="module")
def sdk(client: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{client.base_url}/v1") as made:
        yield made


def test_a_job_learns_to_speak_and_is_judged_beside_the_mean(voice: Version) -> None:
    assert (voice.abilities, voice.modality, voice.dimensions) == (["synthesize"], "text", None)
    mean = voice.metrics["baselines"]["mean"]
    assert voice.metrics["split"] == "test"
    assert voice.metrics["mel_error"] < 0.7 * mean["mel_error"]
    assert voice.metrics["length_error"] < 0.7 * mean["length_error"]
    assert voice.spec["roles"]["input"]["modality"]["name"] == "spectrogram"
    assert voice.spec["roles"]["caption"]["modality"]["tokenizer"] == "characters"


def test_a_voice_is_fine_tuned_from_what_it_can(workshop: Workshop, dataset: Dataset, voice: Version) -> None:
    training = {"epochs": 1, "learning_rate": 1e-5}
    again = workshop.train(workshop.job(dataset, voice, kind="finetune", training=training))
    assert again.spec["objective"] == voice.spec["objective"], "what the base learned is what such data are for"
    assert again.metrics["mel_error"] < 1.1 * voice.metrics["mel_error"], "its layers are the voice's, not new ones"


def test_a_voice_lends_no_ear(workshop: Workshop, voice: Version) -> None:
    sounds = workshop.dataset(tone_speech.archive(["ab", "ba"] * 20), "labels.zip")
    with pytest.raises(
        DoesNotFit, match=r"reads 'text' as caption, and lends no encoder of 'input'; .* with a caption"
    ):
        workshop.train(workshop.job(sounds, voice, kind="finetune", objective={"name": "classification"}))


def test_a_resumed_job_ends_with_the_same_weights(workshop: Workshop, dataset: Dataset) -> None:
    short = {**BODY, "training": {**BODY["training"], "epochs": 2}}
    whole, interrupted = workshop.job(dataset, **short), workshop.job(dataset, **short)
    expected = workshop.weights(workshop.train(whole))
    workshop.leave(interrupted)
    assert workshop.weights(workshop.train(interrupted)) == expected


def test_the_stock_sdk_hears_what_it_asked_for(sdk: openai.OpenAI) -> None:
    for text in ("cab", "Bab ca"):
        answer = sdk.audio.speech.create(model="voice", voice="alloy", input=text, response_format="wav")
        assert answer.response.headers["content-type"] == "audio/wav"
        assert answer.response.headers["x-model"] == "voice:1"
        samples = decode(answer.read(), text, tone_speech.RATE)
        assert tone_speech.heard(samples) == text.lower()
        assert len(samples) == pytest.approx(len(tone_speech.said(text.lower())), rel=0.2)
        again = sdk.audio.speech.create(model="voice", voice="nova", input=text, response_format="wav")
        assert again.read() == answer.read(), "a model has one voice, and says the same the same way"


def test_a_streamed_answer_is_written_as_it_comes(sdk: openai.OpenAI, tmp_path: Path) -> None:
    with sdk.audio.speech.with_streaming_response.create(model="voice", voice="any", input="abc") as answer:
        answer.stream_to_file(tmp_path / "abc.mp3")
    assert tone_speech.heard(decode((tmp_path / "abc.mp3").read_bytes(), "abc", tone_speech.RATE)) == "abc"


@pytest.mark.parametrize(
    ("kind", "format", "rate"), [("mp3", "MP3", 16_000), ("opus", "OGG", 16_000), ("flac", "FLAC", 16_000)]
)
def test_every_file_is_what_it_says(sdk: openai.OpenAI, kind: Any, format: str, rate: int) -> None:
    content = sdk.audio.speech.create(model="voice", voice="any", input="cab", response_format=kind).read()
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert (file.format, file.samplerate, file.channels) == (format, rate, 1)
    assert tone_speech.heard(decode(content, kind, tone_speech.RATE)) == "cab"


def test_pcm_is_samples_alone_at_the_rate_that_clients_know(sdk: openai.OpenAI) -> None:
    wave = sdk.audio.speech.create(model="voice", voice="any", input="cab", response_format="wav").read()
    pcm = sdk.audio.speech.create(model="voice", voice="any", input="cab", response_format="pcm").read()
    assert len(pcm) // 2 == pytest.approx(len(decode(wave, "wav", 24_000)), abs=2)


def test_speed_and_long_texts(sdk: openai.OpenAI) -> None:
    def seconds(text: str, speed: float = 1.0) -> float:
        content = sdk.audio.speech.create(model="voice", voice="any", input=text, response_format="wav", speed=speed)
        return len(decode(content.read(), text, tone_speech.RATE)) / tone_speech.RATE

    usual = seconds("abc cab")
    assert seconds("abc cab", 2.0) == pytest.approx(usual / 2, rel=0.1)
    assert seconds("abc cab", 0.5) == pytest.approx(usual * 2, rel=0.1)
    assert seconds(" ".join(["abc cab"] * 20)) == pytest.approx(20 * usual, rel=0.2)


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"input": ""}, 400, "empty_input", "nothing to speak"),
        ({"input": "?!"}, 400, "empty_input", "nothing to speak"),
        ({"input": "abcd"}, 422, "out_of_range", "'d' at position 3"),
        ({"input": "a" * 4097}, 422, "out_of_range", "4096"),
        ({"input": "a" * 100}, 422, "out_of_range", "longer than the longest text"),
        ({"input": 7}, 422, "wrong_type", "input"),
        ({"input": "abc", "response_format": "aac"}, 422, "unknown_choice", "'flac', 'wav' or 'pcm'"),
        ({"input": "abc", "speed": 5}, 422, "out_of_range", "speed"),
        ({"input": "abc", "model": "plain"}, 422, "ability_missing", "cannot synthesize"),
        ({"input": "abc", "model": "nobody"}, 404, "model_not_found", "nobody"),
    ],
)
def test_what_cannot_be_spoken_has_a_name(
    client: httpx.Client, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    answer = client.post(URL, json={"model": "voice", "voice": "any", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert said in error["message"]


def test_recordings_without_transcripts_teach_nothing(workshop: Workshop) -> None:
    told = [number % 3 > 0 for number in range(60)]
    columns = {"caption": "transcript"}
    some = workshop.dataset(tone_speech.archive(tone_speech.texts(60), told), "some.zip", columns=columns)
    assert some.profile is not None
    caption = some.profile["caption"]
    assert (caption["missing"], sum(caption["splits"].values())) == (20, 40)
    metrics = workshop.train(workshop.job(some, **{**BODY, "training": {"epochs": 1}})).metrics
    assert (metrics["rows_learned"], metrics["rows_judged"]) == (caption["splits"]["train"], caption["splits"]["test"])
    rare = [False] * 39 + [True]
    silent = workshop.dataset(tone_speech.archive(tone_speech.texts(40), rare), "silent.zip", columns=columns)
    with pytest.raises(OutOfRange, match=r"the training split has [01] rows?; it needs 2 at least"):
        workshop.train(workshop.job(silent, **BODY))


def test_a_voice_cannot_embed(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "voice", "input": "abc"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ability_missing")


def test_a_voice_has_no_tensors_to_give(client: httpx.Client) -> None:
    body = {"inputs": [{"name": "input", "datatype": "BYTES", "shape": [1], "data": ["abc"]}]}
    answer = client.post("/v2/models/voice/infer", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith("has no outputs here: what it can, synthesize, is asked under /v1")


def test_the_document_says_that_a_sound_comes_back(client: httpx.Client) -> None:
    content = client.get("/openapi.json").json()["paths"][URL]["post"]["responses"]["200"]["content"]
    assert set(content) == {"audio/mpeg", "audio/ogg", "audio/flac", "audio/wav", "audio/pcm"}


def test_data_that_no_voice_can_be_learned_from_is_named(workshop: Workshop) -> None:
    few = workshop.dataset(tone_speech.archive(["ab", "ba"] * 20), "labels.zip")  # transcripts that look like classes
    with pytest.raises(DoesNotFit, match=r'columns \{"caption": "transcript"\}'):
        workshop.train(workshop.job(few, **BODY))
    texts = workshop.dataset(b"an oak is a tree\na wren is a bird\n" * 20, "lines.txt", modality="text")
    with pytest.raises(DoesNotFit, match="needs caption, and the dataset has none"):
        workshop.train(workshop.job(texts, **BODY))
    pairs = workshop.dataset(tone_speech.archive(["ab", "ba"] * 20), "pairs.zip", columns={"caption": "transcript"})
    with pytest.raises(DoesNotFit, match="learns every row as it is"):
        workshop.train(workshop.job(pairs, **BODY, augmentation={"name": "text"}))
