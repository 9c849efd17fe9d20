"""Recordings from upload to predictions, over HTTP alone: a chord is the word, a pitch is the speaker."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import openai
import pytest
from openai import OpenAI

from app.ml.audio.sounds import decode_uri
from tests.e2e.server import Server
from tests.picture_archives import to_zip
from tests.sounds import sound, tone

CHORDS = {"low": (1.0, 1.25), "high": (3.0, 4.0), "wide": (1.0, 6.0)}
RATE = 22_050
SMALL = {"epochs": 15, "batch_size": 16, "learning_rate": 3e-3}


def take(word: str, speaker: float, number: int) -> bytes:
    """A WAV, at another rate than the dataset's."""
    parts = [tone(ratio * (180 + 12 * speaker), 0.15 + 0.01 * number, RATE, 0.3) for ratio in CHORDS[word]]
    noise = np.random.default_rng([int(2 * speaker), number]).normal(0, 60, len(parts[0]))
    return sound((sum(parts) + noise).astype(np.int16), RATE)


def uri(wav: bytes) -> str:
    return "data:audio/wav;base64," + base64.b64encode(wav).decode()


def run(server: Server, **request: Any) -> dict[str, Any]:
    job = server.wait_for_job(server.post("/jobs", request)["id"], lambda job: job["terminal"])
    assert job["status"] == "succeeded", job["error"]
    return job


def test_from_recordings_to_predictions(start: Callable[[], Server]) -> None:
    server = start()
    heard = [(word, speaker, number) for word in CHORDS for speaker in range(8) for number in range(2)]
    table = ["file_name,label,speaker", *(f"{w}-{s}-{n}.wav,{w},speaker {s}" for w, s, n in heard)]
    members = {f"{w}-{s}-{n}.wav": take(w, s, n) for w, s, n in heard} | {"metadata.csv": "\n".join(table).encode()}
    sdk = OpenAI(base_url=str(server.client.base_url), api_key=server.key())
    file = sdk.files.create(file=("chords.zip", to_zip(members)), purpose="user_data")
    columns = {"group": "speaker"}
    dataset = server.post("/datasets", {"name": "chords", "files": [file.id], "sample_rate": 8000, "columns": columns})
    server.wait(lambda: server.get(f"/datasets/{dataset['id']}")["status"] != "validating")
    profile = server.get(f"/datasets/{dataset['id']}/profile")
    assert profile["modality"] == "audio"
    assert profile["input"]["rates"] == {str(RATE): 48}
    assert profile["input"]["seconds"]["max"] == pytest.approx(0.16, abs=0.001)
    (row,) = server.get(f"/datasets/{dataset['id']}/rows?split=test&limit=1")["data"]
    assert 1200 <= len(decode_uri(row["input"], "row", 8000)) <= 1280
    unheard = {row["group"] for row in server.get(f"/datasets/{dataset['id']}/rows?split=test&limit=100")["data"]}
    taught = {row["group"] for row in server.get(f"/datasets/{dataset['id']}/rows?limit=100")["data"]}
    assert unheard.isdisjoint(taught)

    nano = {"name": "cnn", "preset": "nano", "dimensions": 8}
    body = {"dataset": dataset["id"], "training": SMALL}
    job = run(server, **body, kind="pretrain", name="sounds", encoder=nano, objective={"name": "autoencoding"})
    assert job["spec"]["roles"]["input"]["modality"]["rate"] == 8000
    new = [take(word, 3.5, 0) for word in CHORDS]  # nobody has that pitch
    answer = sdk.embeddings.create(model="sounds", input=[uri(wav) for wav in new])
    assert [len(item.embedding) for item in answer.data] == [8, 8, 8]
    asked = {"model": "sounds", "input": uri(new[0]), "encoding_format": "base64"}
    (rebuilt,) = server.post("/reconstructions", asked)["data"]
    assert len(decode_uri(rebuilt["reconstruction"], "rebuilt", 8000)) == pytest.approx(0.16 * 8000, abs=160)
    with pytest.raises(openai.BadRequestError, match="never fetched"):
        sdk.embeddings.create(model="sounds", input="https://example.org/a.wav")

    body["training"] = SMALL | {"epochs": 40}
    run(server, **body, kind="finetune", base_model="sounds", name="chord-names")
    given = server.post("/predictions", {"model": "chord-names", "input": [uri(wav) for wav in new]})["data"]
    assert [item["label"] for item in given] == list(CHORDS)
