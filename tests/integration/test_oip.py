"""The Open Inference Protocol through Triton's own client: metadata, readiness, JSON and binary tensors, refusals."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from app.api.oip import outline, tensors_of
from app.registry import keys
from app.settings import Settings
from tests.integration.api.conftest import House, serve
from tests.workshop import Workshop, blobs

TREES = ["the oak grows", "an elm stands there", "the ash is old", "a fir in the wood"] * 10


class School:
    """A server with a model of vectors, one of pictures, one of texts and a classifier."""

    def __init__(self, house: House, home: Path) -> None:
        made = Workshop(house.database, house.storage, home)
        with house.database.session() as session:
            secret = keys.create_key(session, made.project_id, "test", ("infer",))[1]
        self.url = house.base_url
        self._secret = secret
        self.client = triton.InferenceServerClient(url=house.base_url.removeprefix("http://"))
        short = {"epochs": 1}
        for _ in range(2):
            made.train(made.job(made.dataset(blobs(labels=False)), name="rows", training=short))
        made.train(made.job(made.dataset(blobs()), name="kinds", training=short, objective={"name": "classification"}))
        pictures = np.random.default_rng(0).integers(0, 256, (60, 6, 8), dtype=np.uint8)
        drawn = {"name": "autoencoding"}
        made.train(made.job(made.dataset({"image": pictures}), name="pictures", training=short, objective=drawn))
        text = "\n".join(f"{tree} {number}" for number, tree in enumerate(TREES)).encode()
        made.train(made.job(made.dataset(text, "trees.txt"), name="texts", objective={"name": "tfidf_svd"}))

    @property
    def headers(self) -> dict[str, str]:
        """A copy: the client adds its own to the one it is given."""
        return {"Authorization": f"Bearer {self._secret}"}

    def ask(self, model: str, values: Any, kind: str, *, binary: bool = True, **more: Any) -> Any:
        tensor = triton.InferInput("input", list(values.shape), kind)
        tensor.set_data_from_numpy(values, binary_data=binary)
        return self.client.infer(model, [tensor], headers=self.headers, **more)


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    home = tmp_path_factory.mktemp("school")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        yield School(house, home)


def test_the_server_and_its_models_describe_themselves(school: School) -> None:
    assert school.client.is_server_live(headers=school.headers)
    assert school.client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    about = school.client.get_model_metadata("rows", headers=school.headers)
    assert (about["name"], about["versions"]) == ("rows", ["2", "1"])
    assert about["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 12]}]
    outputs = {output["name"]: output for output in about["outputs"]}
    assert set(outputs) == {"embedding", "reconstruction", "error"}
    assert outputs["embedding"] == {"name": "embedding", "datatype": "FP32", "shape": [-1, 6]}
    inputs = {
        name: school.client.get_model_metadata(name, headers=school.headers)["inputs"][0]
        for name in ("pictures", "texts")
    }
    assert inputs["pictures"] == {"name": "input", "datatype": "UINT8", "shape": [-1, 6, 8, 1]}
    assert inputs["texts"] == {"name": "input", "datatype": "BYTES", "shape": [-1]}
    assert school.client.is_model_ready("rows", "2", headers=school.headers)
    assert not school.client.is_model_ready("nobody", headers=school.headers)


@pytest.mark.parametrize("binary", [True, False])
def test_vectors_in_json_and_in_bytes(school: School, binary: bool) -> None:
    values = blobs()["features"][:5]
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("embedding", "error")]
    answer = school.ask("rows", values, "FP32", binary=binary, outputs=outputs, request_id="mine")
    assert (answer.get_response()["model_version"], answer.get_response()["id"]) == ("1", "mine")
    plain = httpx.post(
        f"{school.url}/v1/embeddings", json={"model": "rows", "input": values.tolist()}, headers=school.headers
    ).json()
    expected = np.array([each["embedding"] for each in plain["data"]], np.float32)
    np.testing.assert_allclose(answer.as_numpy("embedding"), expected, rtol=1e-5, atol=1e-6)
    assert answer.as_numpy("error").shape == (5,)
    assert answer.as_numpy("reconstruction") is None


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_the_client_may_pack_what_it_sends(school: School, packing: str) -> None:
    values = blobs()["features"][:5]
    packed = school.ask("rows", values, "FP32", request_compression_algorithm=packing)
    np.testing.assert_array_equal(
        packed.as_numpy("embedding"), school.ask("rows", values, "FP32").as_numpy("embedding")
    )


def test_versions_are_asked_by_number_and_all_outputs_come_unasked(school: School) -> None:
    values = blobs()["features"][:2]
    answer = school.ask("rows", values, "FP32", model_version="2")
    assert answer.get_response()["model_version"] == "2"
    assert answer.as_numpy("reconstruction").shape == (2, 12)


def test_pictures_texts_and_labels(school: School) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 1), dtype=np.uint8)
    assert school.ask("pictures", pictures, "UINT8").as_numpy("reconstruction").shape == (3, 6, 8)
    texts = np.array(TREES[:3], dtype=object)
    embedded = [school.ask("texts", texts, "BYTES", binary=binary).as_numpy("embedding") for binary in (True, False)]
    assert embedded[0].shape[0] == 3
    np.testing.assert_array_equal(*embedded)
    answer = school.ask("kinds", blobs()["features"][:4], "FP32")
    assert {label.decode() for label in answer.as_numpy("label")} <= {"0", "1", "2"}
    assert answer.as_numpy("score").dtype == np.float32


@pytest.mark.parametrize("first", [[], [{"label": "cat", "score": 0.5, "box": [0.0, 0.0, 1.0, 1.0]}]])
def test_lists_of_any_length_are_json_even_where_the_first_is_empty(first: list[Any]) -> None:
    entries: list[dict[str, Any]] = [
        {"object": "prediction", "index": 0, "boxes": first},
        {"boxes": [{"label": "owl"}]},
        {"boxes": []},
    ]
    found = tensors_of({"data": entries})
    assert [json.loads(each) for each in found["boxes"]] == [each["boxes"] for each in entries]
    assert outline({"data": entries[:1]}) == {"boxes": ("BYTES", [])}


@pytest.mark.parametrize(
    ("model", "values", "kind", "said"),
    [
        ("rows", np.zeros((2, 5), np.float32), "FP32", "reads"),
        ("rows", np.array(["a"], dtype=object), "BYTES", "numbers"),
        ("texts", np.zeros((1, 12), np.float32), "FP32", "input"),
        ("nobody", np.zeros((1, 12), np.float32), "FP32", "no model"),
        ("rows", np.full((1, 12), np.nan, np.float32), "FP32", "finite"),
    ],
)
def test_refusals_reach_the_client_in_words(school: School, model: str, values: Any, kind: str, said: str) -> None:
    with pytest.raises(InferenceServerException, match=said):
        school.ask(model, values, kind)


@pytest.mark.parametrize(
    ("body", "size", "status"),
    [
        (b"", None, 400),
        (b"[]", None, 400),
        (b"{}", None, 422),
        (b'{"inputs": [3]}', None, 422),
        (b'{"inputs": [{"name": "other", "shape": [1], "datatype": "FP32", "data": [1]}]}', None, 422),
        (b'{"inputs": [{"name": "input", "shape": [0], "datatype": "FP32", "data": []}]}', None, 400),
        (b'{"inputs": [{"name": "input", "shape": [2, 12], "datatype": "FP32", "data": [1, 2]}]}', None, 422),
        (b'{"inputs": [{"name": "input", "shape": [1], "datatype": "FP99", "data": [1]}]}', None, 422),
        (b'{"inputs": [{"name": "input", "shape": [-1], "datatype": "FP32", "data": [1]}]}', None, 422),
        (b'{"inputs": [{"name": "input", "shape": [1], "datatype": "FP32", "data": ["x"]}]}', None, 422),
        (b'{"inputs": []}', 900, 400),
        (b'{"inputs": []}', "x", 422),
    ],
)
def test_bodies_that_are_none(school: School, body: bytes, size: Any, status: int) -> None:
    headers = school.headers | ({} if size is None else {"inference-header-content-length": str(size)})
    answer = httpx.post(f"{school.url}/v2/models/rows/infer", content=body, headers=headers, timeout=60)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


def test_what_is_no_route_is_refused_in_words(school: School) -> None:
    """Triton's clients know more routes than there are, and read `error` as a text."""
    with pytest.raises(InferenceServerException) as caught:
        school.client.get_model_config("rows", headers=school.headers)
    assert caught.value.message() == "there is no route GET /v2/models/rows/config; /docs lists all routes"
    for method, path in (("POST", "/v2/models/rows"), ("GET", "/v2/models/rows/infer"), ("GET", "/v2/models?a=%00")):
        answer = httpx.request(method, school.url + path, headers=school.headers, timeout=60)
        assert answer.status_code in (400, 405)
        assert isinstance(answer.json()["error"], str)
    beside = httpx.get(f"{school.url}/v2x", headers=school.headers, timeout=60)
    assert (beside.status_code, beside.json()["error"]["code"]) == (404, "not_found")


def test_without_a_key_nothing_is_told_in_the_shape_that_is_documented(school: School) -> None:
    answer = httpx.get(f"{school.url}/v2/models/rows", timeout=60)
    assert (answer.status_code, list(answer.json())) == (401, ["error"])
    document = httpx.get(f"{school.url}/openapi.json", timeout=60).json()
    told = document["paths"]["/v2/models/{model}"]["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**told, "components": document["components"]})
