"""A model that leaves as ONNX answers elsewhere what it answers here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from app.ml import artifact
from app.ml.runtime import portable
from app.registry import keys
from app.registry.db import Database
from app.settings import Settings
from tests import networks
from tests.integration.api.faults import refused
from tests.service import asking, numbers


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[httpx.Client]:
    """Of a server with a model of each kind, all with graphs but `bare`."""
    models = {name: networks.write(home / name, modality=name) for name in ("vectors", "image", "text")}
    for name, files in models.items():
        portable.write(artifact.load(files), home / name / portable.FILE)
        models[name] = {**files, portable.FILE: home / name / portable.FILE}
    models["bare"] = networks.write(home / "bare")
    with asking(home, models) as client:
        yield client


@pytest.fixture
def stranger(client: httpx.Client, home: Path) -> Iterator[httpx.Client]:
    """A client of another project."""
    database = Database(Settings(home=home).resolved_database_url)
    with database.session() as session:
        elsewhere = keys.create_project(session, "elsewhere").id
        secret = keys.create_key(session, elsewhere, "test", ("read", "infer", "train"))[1]
    database.close()
    with httpx.Client(base_url=client.base_url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as other:
        yield other


def graph(client: httpx.Client, model: str) -> onnxruntime.InferenceSession:
    answer = client.get(f"/v1/models/{model}/artifact", params={"format": "onnx"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].endswith(f"{model}-1.onnx")
    assert int(answer.headers["content-length"]) == len(answer.content)
    return onnxruntime.InferenceSession(answer.content)


def embed(client: httpx.Client, model: str, items: Any) -> Any:
    return numbers(client.post("/v1/embeddings", json={"model": model, "input": items}))


def test_numbers_and_pictures_go_in_as_they_are(client: httpx.Client) -> None:
    for model, items in (("vectors", networks.rows(5, seed=4)), ("image", networks.pictures(5, seed=4))):
        (found,) = graph(client, model).run(["embed"], {"values": items})
        np.testing.assert_allclose(found, embed(client, model, items.tolist()), atol=1e-4)


def test_texts_go_in_as_the_models_tokenizer_numbers_them(client: httpx.Client) -> None:
    rows = [[20, 21, 22, 23], [24], [25, 26]]
    values, mask = np.zeros((3, 4), np.int64), np.zeros((3, 4), np.bool_)
    for place, row in enumerate(rows):
        values[place, : len(row)], mask[place, : len(row)] = row, True
    (found,) = graph(client, "text").run(["embed"], {"values": values, "mask": mask})
    np.testing.assert_allclose(found, embed(client, "text", rows), atol=1e-4)


def test_what_cannot_be_had_is_refused_by_name(client: httpx.Client) -> None:
    onnx = {"format": "onnx"}
    message = refused(client.get("/v1/models/bare/artifact", params=onnx), 404, "not_found", "format")
    assert "bare:1" in message
    assert "/v1/models/import" in message
    assert client.get("/v1/models/bare/artifact").status_code == 200
    refused(client.get("/v1/models/vectors:2/artifact", params=onnx), 404, "model_not_found", "model")
    assert client.get("/v1/models/vectors/artifact", params={"format": "pickle"}).status_code == 422


def test_another_project_has_no_such_model(stranger: httpx.Client) -> None:
    answer = stranger.get("/v1/models/vectors/artifact", params={"format": "onnx"})
    refused(answer, 404, "model_not_found", "model")
