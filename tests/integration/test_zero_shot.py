"""Models of pairs asked over HTTP: either side embeds, and candidate labels are compared with items."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests import networks
from tests.service import asking

LABELS = ["oak elm", "yew", "fig fir ash"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    classes = networks.write(home / "classes", modality="image", objective="classification")
    with asking(home, {"pairs": networks.write_pair(home / "pairs"), "classes": classes}) as client:
        yield client


def uris(count: int) -> list[str]:
    found = []
    for picture in networks.pictures(count):
        buffer = io.BytesIO()
        Image.fromarray(picture[:, :, 0]).save(buffer, "PNG")
        found.append(f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return found


def embedded(client: httpx.Client, **body: Any) -> Any:
    answer = client.post("/v1/embeddings", json={"model": "pairs", **body})
    assert answer.status_code == 200, answer.text
    return np.array([each["embedding"] for each in answer.json()["data"]])


def test_candidates_are_weighed_by_the_cosines_of_both_sides(client: httpx.Client) -> None:
    pictures = uris(4)
    items, texts = embedded(client, input=pictures), embedded(client, input=LABELS)
    assert np.allclose(np.linalg.norm(np.concatenate([items, texts]), axis=1), 1, atol=1e-5)
    assert np.allclose(embedded(client, input=pictures, side="left"), items, atol=1e-6)
    weights = np.exp(items @ texts.T / 0.07)
    expected = weights / weights.sum(1, keepdims=True)

    body = {"model": "pairs", "input": pictures, "candidate_labels": LABELS}
    answer = client.post("/v1/predictions", json=body).json()
    assert answer["model"] == "pairs:1"
    for row, told in zip(expected, answer["data"], strict=True):
        assert [told["scores"][label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-4)
        assert told["label"] == LABELS[int(row.argmax())]
    best = client.post("/v1/predictions", json=body | {"top_k": 1}).json()["data"]
    assert [len(each["scores"]) for each in best] == [1] * 4


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        ("predictions", {"model": "pairs", "input": "oak", "candidate_labels": LABELS}, "does_not_fit", "candidate"),
        ("predictions", {"model": "classes", "input": [0], "candidate_labels": LABELS}, "ability_missing", "candidate"),
        ("predictions", {"model": "pairs", "input": "oak"}, "ability_missing", "model"),
        ("predictions", {"model": "pairs", "input": "u", "candidate_labels": ["oak"]}, "out_of_range", "candidate"),
        (
            "predictions",
            {"model": "pairs", "input": "u", "candidate_labels": ["a", "a"]},
            "unknown_choice",
            "candidate",
        ),
        (
            "predictions",
            {"model": "pairs", "input": "u", "candidate_labels": ["a", " "]},
            "empty_input",
            "candidate_labels[1]",
        ),
        ("embeddings", {"model": "classes", "input": [0], "side": "right"}, "does_not_fit", "side"),
        ("embeddings", {"model": "pairs", "input": "oak", "side": "up"}, "unknown_choice", "side"),
        ("embeddings", {"model": "pairs", "input": "oak", "side": "left"}, "malformed", "input"),
    ],
)
def test_what_cannot_be_compared_is_said(
    client: httpx.Client, path: str, body: dict[str, Any], code: str, param: str
) -> None:
    answer = client.post(f"/v1/{path}", json=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["param"].startswith(param)


def test_a_model_of_pairs_that_is_asked_for_classes_says_what_it_needs(client: httpx.Client) -> None:
    answer = client.post("/v1/predictions", json={"model": "pairs", "input": "oak"})
    assert (
        "cannot predict; it can embed, and choose among candidate_labels. Models" in answer.json()["error"]["message"]
    )
