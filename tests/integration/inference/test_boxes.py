"""Boxes over HTTP: in pixels of the picture that was sent, whatever its size and however it came."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch

from app.ml import artifact
from tests import networks
from tests.service import ADMIN_KEY, RAW, House, npy, uri

LABELS = ["cat", "dog"]


def expected(folder: Path, items: Any, height: int, width: int) -> list[dict[str, Any]]:
    """The best three boxes of one picture of that size."""
    loaded = artifact.load(networks.write(folder, modality="image", objective="detection"))
    fitted = loaded.roles["input"]
    answers = artifact.ask(loaded.network, "predict", fitted.encode(fitted.read(items)))
    (rows,) = loaded.network.postprocess(answers, 0.0)[:, :3] * torch.tensor([width, height, width, height, 1, 1])
    labels = [LABELS[int(row[4:].argmax())] for row in rows]
    return [
        {
            "label": label,
            "score": pytest.approx(float(row[4:].max()), rel=1e-3),
            "box": pytest.approx(row[:4].tolist(), abs=0.01),
        }
        for label, row in zip(labels, rows, strict=True)
    ]


def find(house: House, items: Any, **options: Any) -> Any:
    response = house.post("/v1/predictions", {"model": "finder", "input": items, "threshold": 0, **options})
    assert response.status_code == 200, response.text
    return response.json()["data"]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (30, 50), (61, 7)])
def test_boxes_are_in_pixels_of_the_picture_that_was_sent(
    house: House, tmp_path: Path, height: int, width: int
) -> None:
    picture = uri(np.random.default_rng(0).integers(0, 256, (height, width)))
    (found,) = find(house, picture, top_k=3)
    assert found == {"object": "prediction", "index": 0, "boxes": expected(tmp_path, picture, height, width)}


def test_every_picture_of_a_request_has_its_own_pixels(house: House, tmp_path: Path) -> None:
    small, large = (uri(np.random.default_rng(side).integers(0, 256, (side, 2 * side))) for side in (10, 40))
    numbers = networks.pictures(1)[0, :, :, 0].tolist()
    found = find(house, [small, large, numbers], top_k=3)
    sizes = [(small, 10, 20), (large, 40, 80), (numbers, 8, 8)]
    assert [each["boxes"] for each in found] == [expected(tmp_path / "x", *each) for each in sizes]


@pytest.mark.parametrize("kind", ["raw", "npy", "form", "numbers"])
def test_pictures_come_in_other_ways_too(house: House, tmp_path: Path, kind: str) -> None:
    pixels = networks.pictures(1)
    options: dict[str, Any] = {"model": "finder", "threshold": 0, "top_k": 3}
    headers, flat = {"content-type": RAW}, pixels.astype("<f4").reshape(1, -1)
    if kind == "raw":
        response = house.client.post("/v1/predictions", params=options, content=flat.tobytes(), headers=headers)
    elif kind == "npy":
        headers = {"content-type": "application/x-npy"}
        response = house.client.post("/v1/predictions", params=options, content=npy(flat), headers=headers)
    elif kind == "numbers":
        response = house.post("/v1/predictions", {**options, "input": flat[0].tolist()})
    else:
        content = base64.b64decode(uri(pixels[0, :, :, 0]).partition(",")[2])
        response = house.client.post(
            "/v1/predictions", data={k: str(v) for k, v in options.items()}, files={"input": ("a.png", content)}
        )
    assert response.status_code == 200, response.text
    assert response.json()["data"][0]["boxes"] == expected(tmp_path, pixels[0].tolist(), 8, 8)


def test_only_likely_boxes_are_told_unless_others_are_asked_for(house: House) -> None:
    picture = uri(np.zeros((8, 8)))
    response = house.post("/v1/predictions", {"model": "finder", "input": picture})
    assert response.json()["data"] == [{"object": "prediction", "index": 0, "boxes": []}]
    everything = find(house, picture)[0]["boxes"]
    scores = [box["score"] for box in everything]
    assert 1 < len(scores) <= 100
    assert scores == sorted(scores, reverse=True)
    assert find(house, picture, threshold=scores[0] * 0.999)[0]["boxes"][0] == everything[0]


def test_the_stock_sdk_asks_by_its_generic_post(house: House) -> None:
    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{house.url}/v1") as client:
        body = {"model": "finder", "input": uri(np.zeros((20, 10))), "threshold": 0.001, "top_k": 1}
        answer: Any = client.post("/predictions", body=body, cast_to=object)
    assert answer["model"] == "finder:1"
    assert answer["data"][0]["boxes"][0]["label"] in LABELS


@pytest.mark.parametrize(
    ("model", "threshold", "status", "message"),
    [
        ("finder", 1.5, 422, "threshold: Input should be less than or equal to 1"),
        ("finder", -0.1, 422, "threshold: Input should be greater than or equal to 0"),
        ("finder", "high", 422, "threshold: Input should be a valid number"),
        ("graft", 0.5, 422, "threshold: is for models that find boxes; leave it out"),
        ("picture", 0.5, 422, "cannot predict; it can embed, reconstruct"),
    ],
)
def test_a_threshold_has_its_place(house: House, model: str, threshold: Any, status: int, message: str) -> None:
    body = {"model": model, "input": uri(np.zeros((8, 8))), "threshold": threshold}
    response = house.post("/v1/predictions", body)
    assert response.status_code == status
    assert message in response.json()["error"]["message"]
