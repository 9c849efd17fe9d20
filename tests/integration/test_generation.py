"""New items from models that can draw them, asked by the stock SDK; and what is told where a model cannot."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from tests import networks
from tests.service import ADMIN_KEY, asking

URL = "/v1/images/generations"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    made = {"pictures": "image", "rows": "vectors", "texts": "text"}
    models = {
        name: networks.write(home / name, modality=modality, objective="variational") for name, modality in made.items()
    }
    with asking(home, {**models, "plain": networks.write(home / "plain")}) as client:
        yield client


def test_the_stock_sdk_draws_pictures(client: httpx.Client) -> None:
    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{client.base_url}/v1") as sdk:
        seeded = [
            sdk.images.generate(model="pictures", prompt="any", n=count, extra_body={"seed": 7}).data or []
            for count in (3, 5)
        ]
        fresh = sdk.images.generate(model="pictures", prompt="", response_format="b64_json", size="auto")
    few, many = ([picture.b64_json or "" for picture in data] for data in seeded)
    assert len(set(many)) == 5
    assert many[:3] == few
    assert fresh.created > 0
    assert fresh.data is not None
    assert fresh.data[0].b64_json not in many
    picture = Image.open(io.BytesIO(base64.b64decode(many[0])))
    assert (picture.format, picture.size) == ("PNG", (8, 8))


def test_every_modality_draws_at_one_route(client: httpx.Client) -> None:
    def drawn(**body: Any) -> list[Any]:
        answer = client.post("/v1/generations", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == f"{body['model']}:1"
        return [each["item"] for each in answer.json()["data"]]

    rows = drawn(model="rows", n=4, seed=1)
    assert np.array(rows).shape == (4, networks.WIDTH)
    assert drawn(model="rows", n=4, seed=1) == rows
    assert drawn(model="rows", n=4, seed=2) != rows
    usual = drawn(model="rows", n=2, seed=1, temperature=0)
    assert usual[0] == usual[1]
    assert all(isinstance(text, str) for text in drawn(model="texts", n=2))
    assert np.array(drawn(model="pictures", n=2)).shape == (2, 8, 8)
    (packed,) = drawn(model="pictures", encoding_format="base64")
    assert str(packed).startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("url", "body", "status", "code", "param"),
    [
        (URL, {"model": "plain", "prompt": ""}, 422, "ability_missing", "model"),
        (URL, {"model": "none", "prompt": ""}, 404, "model_not_found", "model"),
        (URL, {"model": "rows", "prompt": ""}, 422, "unknown_choice", "model"),
        (URL, {"model": "pictures", "prompt": "", "size": "512x512"}, 422, "out_of_range", "size"),
        (URL, {"model": "pictures", "prompt": "", "n": 0}, 422, "out_of_range", "n"),
        (URL, {"model": "pictures", "prompt": "", "response_format": "url"}, 422, "unknown_choice", "response_format"),
        (URL, {"model": "pictures"}, 422, "missing_key", "prompt"),
        (URL, {"model": "pictures", "prompt": "", "seed": -1}, 422, "out_of_range", "seed"),
        ("/v1/generations", {"model": "rows", "input": [1]}, 422, "unknown_key", "input"),
        ("/v1/generations", {"model": "plain"}, 422, "ability_missing", "model"),
        ("/v1/audio/speech", {"model": "plain", "input": "oak", "voice": "any"}, 422, "ability_missing", "model"),
        ("/v1/audio/speech", {"model": "none", "input": "oak", "voice": "any"}, 404, "model_not_found", "model"),
    ],
)
def test_what_cannot_be_is_said(
    client: httpx.Client, url: str, body: dict[str, object], status: int, code: str, param: str
) -> None:
    answer = client.post(url, json=body)
    assert answer.status_code == status, answer.text
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == (code, param)


def test_the_sdk_hears_that_no_model_speaks(client: httpx.Client) -> None:
    with (
        openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{client.base_url}/v1") as sdk,
        pytest.raises(openai.UnprocessableEntityError) as refused,
    ):
        sdk.audio.speech.create(model="plain", input="oak", voice="alloy")
    assert refused.value.code == "ability_missing"


def test_open_inference_lists_what_takes_items_alone(client: httpx.Client) -> None:
    outputs = {each["name"] for each in client.get("/v2/models/pictures").json()["outputs"]}
    assert "embedding" in outputs
    assert not any("generat" in name for name in outputs)
