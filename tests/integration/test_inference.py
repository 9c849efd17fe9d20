"""A real server on a loopback port, asked over HTTP and by the stock SDK."""

import asyncio
import base64
import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import openai
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from app.api.wire import Gathering
from app.main import create_app
from app.ml import admission, artifact
from app.ml.admission import Permits
from app.registry import keys, models
from app.registry.db import Database
from app.registry.tables import Version
from app.settings import Settings
from app.storage import Storage, open_storage
from tests import networks

ADMIN_KEY = "a-key-for-these-tests"
MOST_WAITING = 8


def publish(database: Database, storage: Storage, project_id: str, name: str, files: dict[str, Path]) -> Version:
    loaded = artifact.load(files)
    with database.session() as session:
        return models.publish(
            session,
            project_id=project_id,
            name=name,
            job_id=None,
            parent_id=None,
            spec=loaded.spec,
            modality=loaded.roles[loaded.asked].settings.name,
            dimensions=loaded.dimensions,
            abilities=loaded.abilities,
            metrics={},
            datasets=[],
            parameters=1,
            objects={key: storage.put(f"models/{name}/{key}", path) for key, path in files.items()},
        )


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The base URL of a server that runs in a thread."""
    options: Any = {"http": Gathering, "proxy_headers": False}  # as `rootstock api` has them
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def asking(home: Path, models: Mapping[str, dict[str, Path]], **options: Any) -> Iterator[httpx.Client]:
    """A client of a server with these settings that has these models, by their names."""
    settings = Settings(home=home, **options)
    database, storage = Database(settings.resolved_database_url), open_storage(settings)
    database.migrate()
    with database.session() as session:
        keys.bootstrap(session, ADMIN_KEY)
        caller = keys.find(session, ADMIN_KEY)
    assert caller is not None
    for name, files in models.items():
        publish(database, storage, caller.project_id, name, files)
    authorization = {"authorization": f"Bearer {ADMIN_KEY}"}
    with serving(create_app(settings)) as url, httpx.Client(base_url=url, headers=authorization, timeout=60) as client:
        yield client
    database.close()


@dataclass
class House:
    """A server with models."""

    url: str
    database: Database
    storage: Storage
    project_id: str
    client: httpx.Client
    permits: Permits

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.client.post(path, **options)

    def embed(self, items: Any, model: str = "tiny", **options: Any) -> httpx.Response:
        return self.post("/v1/embeddings", {"model": model, "input": items, **options})


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, max_waiting=MOST_WAITING, max_body_bytes=6 * 1024 * 1024)
    database, storage = Database(settings.resolved_database_url), open_storage(settings)
    database.migrate()
    with database.session() as session:
        keys.bootstrap(session, ADMIN_KEY)
        caller = keys.find(session, ADMIN_KEY)
    assert caller is not None
    project = caller.project_id
    publish(database, storage, project, "tiny", networks.write(home / "tiny"))
    publish(database, storage, project, "wide", networks.write(home / "wide", width=784))
    publish(database, storage, project, "picture", networks.write(home / "picture", modality="image"))
    publish(
        database, storage, project, "graft", networks.write(home / "g", modality="image", objective="classification")
    )
    nested = networks.write(home / "nested", objective="contrastive", matryoshka=[3, 2])
    publish(database, storage, project, "nested", nested)
    publish(database, storage, project, "reader", networks.write(home / "reader", modality="text"))
    damaged = publish(database, storage, project, "damaged", networks.write(home / "damaged"))
    assert damaged.number == 1
    path = settings.folder / "storage" / "models" / "damaged" / artifact.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    app = create_app(settings)
    with (
        serving(app) as url,
        httpx.Client(base_url=url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60) as client,
    ):
        yield House(url, database, storage, project, client, app.state.services.serving.permits)
    database.close()


def numbers(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]])


def uri(pixels: Any, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_an_embedding_is_what_the_model_gives(house: House, tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    column = networks.rows(5, seed=1)
    expected = artifact.ask(loaded.network, "embed", loaded.roles["input"].encode(column)).numpy()
    response = house.embed(column.tolist())
    np.testing.assert_allclose(numbers(response), expected, atol=1e-4)
    body = response.json()
    assert body["object"] == "list"
    assert body["model"] == "tiny:1"
    assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert [item["index"] for item in body["data"]] == [0, 1, 2, 3, 4]
    names = [part.partition(";dur=")[0] for part in response.headers["server-timing"].split(", ")]
    assert names == ["preprocess", "queue", "inference"]


def test_one_vector_a_version_and_an_alias_are_the_same(house: House) -> None:
    row = networks.rows(1)[0].tolist()
    expected = numbers(house.embed(row))
    for items, model in ((row, "tiny:1"), ([row], "tiny@default")):
        np.testing.assert_allclose(numbers(house.embed(items, model)), expected, atol=1e-6)


def test_base64_is_float(house: House) -> None:
    column = networks.rows(3).tolist()
    packed = house.embed(column, encoding_format="base64").json()["data"]
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in packed]
    assert np.array_equal(np.stack(decoded), numbers(house.embed(column)).astype(np.float32))


def test_the_stock_sdk_works(house: House) -> None:
    column = networks.rows(4, 784)
    expected = numbers(house.embed(column.tolist(), "wide"))
    given: Any = column.tolist()

    async def ask_async() -> list[list[float]]:
        async with openai.AsyncOpenAI(api_key=ADMIN_KEY, base_url=f"{house.url}/v1") as client:
            found = await asyncio.gather(*(client.embeddings.create(model="wide", input=row) for row in given))
            return [answer.data[0].embedding for answer in found]

    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{house.url}/v1") as client:
        answer = client.embeddings.create(model="wide", input=given)
        plain = client.embeddings.create(model="wide", input=given, encoding_format="float")
        assert answer.model == "wide:1"
        assert answer.usage.total_tokens == 4
        for found in (answer, plain):
            np.testing.assert_allclose([item.embedding for item in found.data], expected, atol=1e-5)
        with pytest.raises(openai.NotFoundError) as missing:
            client.embeddings.create(model="wid", input=given)
        assert missing.value.code == "model_not_found"
        assert "'wide'" in missing.value.message
    np.testing.assert_allclose(asyncio.run(ask_async()), expected, atol=1e-5)


def test_pictures_are_read_in_every_form(house: House) -> None:
    picture = networks.pictures(1)[0]
    gray = picture[:, :, 0].tolist()
    expected = numbers(house.embed(gray, "picture"))
    forms = [[gray], picture.tolist(), [picture.tolist()], picture.ravel().tolist(), uri(picture[:, :, 0]), [uri(gray)]]
    for form in forms:
        np.testing.assert_allclose(numbers(house.embed(form, "picture")), expected, atol=1e-5)
    answer = house.post("/v1/reconstructions", {"model": "picture", "input": gray, "encoding_format": "png"}).json()
    [item] = answer["data"]
    assert item["object"] == "reconstruction"
    assert item["error"] > 0
    drawn = Image.open(io.BytesIO(base64.b64decode(item["reconstruction"].partition(",")[2])))
    assert drawn.size == (8, 8)
    plain = house.post("/v1/reconstructions", {"model": "picture", "input": gray}).json()["data"][0]["reconstruction"]
    assert np.array_equal(np.asarray(drawn), plain)


def test_predictions(house: House) -> None:
    body = {"model": "graft", "input": networks.pictures(3).tolist(), "top_k": 2}
    answer = house.post("/v1/predictions", body).json()
    assert answer["model"] == "graft:1"
    for index, item in enumerate(answer["data"]):
        assert item["index"] == index
        assert next(iter(item["scores"])) == item["label"]
        assert len(item["scores"]) == 2


VECTOR = networks.rows(1)[0].tolist()


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"model": "tiny", "input": VECTOR[:-1]}, 422, "wrong_shape", "11"),
        ({"model": "tiny", "input": [VECTOR, VECTOR[:3]]}, 422, "wrong_shape", "input[1]"),
        ({"model": "tiny", "input": [*VECTOR[:-1], "7"]}, 422, "wrong_type", "'7'"),
        ({"model": "tiny", "input": [*VECTOR[:-1], None]}, 422, "wrong_type", "None"),
        ({"model": "tiny", "input": [*VECTOR[:-1], 1e300]}, 422, "non_finite", "1e+300"),
        ({"model": "tiny", "input": "a text"}, 422, "wrong_type", "str"),
        ({"model": "tiny", "input": {}}, 422, "wrong_type", "no names"),
        ({"model": "tiny", "input": None}, 422, "wrong_type", "NoneType"),
        ({"model": "tiny", "input": 7}, 422, "wrong_type", "int"),
        ({"model": "tiny", "input": [[[VECTOR]]]}, 422, "wrong_type", "input[0]"),
        ({"model": "tiny", "input": []}, 400, "empty_input", "empty"),
        ({"model": "tiny", "input": [VECTOR] * 2049}, 422, "out_of_range", "2049"),
        ({"model": "tiny"}, 422, "missing_key", "input"),
        ({"input": VECTOR}, 422, "missing_key", "model"),
        ({"model": 7, "input": VECTOR}, 422, "wrong_type", "model"),
        ({"model": "tinny", "input": VECTOR}, 404, "model_not_found", "'tiny'"),
        ({"model": "tiny:9", "input": VECTOR}, 404, "model_not_found", "9"),
        ({"model": "tiny@champion", "input": VECTOR}, 404, "model_not_found", "champion"),
        ({"model": "ti\u0000ny", "input": VECTOR}, 404, "model_not_found", "x00"),
        ({"model": "t" * 5000, "input": VECTOR}, 404, "model_not_found", "ttt"),
        ({"model": "", "input": VECTOR}, 404, "model_not_found", "''"),
        ({"model": "tiny", "input": VECTOR, "dimensions": 3}, 422, "out_of_range", "4"),
        ({"model": "tiny", "input": VECTOR, "encoding_format": "hex"}, 422, "unknown_choice", "hex"),
        ({"model": "tiny", "input": VECTOR, "colour": 1}, 422, "unknown_key", "colour"),
        ({"model": "picture", "input": "a text"}, 400, "malformed", "data:"),
        ({"model": "picture", "input": VECTOR[:7]}, 422, "wrong_shape", "7"),
        ({"model": "reader", "input": VECTOR}, 422, "wrong_type", "input"),
        ({"model": "picture", "input": "http://127.0.0.1/picture.png"}, 400, "malformed", "never fetched"),
        ({"model": "picture", "input": "data:image/png;base64,AAAA"}, 400, "malformed", "input"),
        ({"model": "picture", "input": uri(np.zeros((9, 9)))}, 422, "wrong_shape", "9"),
        ({"model": "damaged", "input": VECTOR}, 424, "inference_failed", "damaged"),
    ],
)
def test_a_bad_body_is_named_and_the_service_works_on(
    house: House, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    response = house.post("/v1/embeddings", body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert house.embed(VECTOR).status_code == 200


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b'{"model": "tiny", "input": [NaN, 1]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [[1, Infinity]]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [-Infinity]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [1e999]}', 422, "non_finite"),
        (b"", 400, "empty_input"),
        (b'{"model": "tiny", "input": [1,', 400, "malformed"),
        (b'[{"model": "tiny"}]', 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"model": "tiny", "input": ' + b"[" * 99 + b"1" + b"]" * 99 + b"}", 422, None),
        (b'{"model": "tiny", "input": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}", 400, "malformed"),
        (b'{"model": "tiny", "input": [' + b"9" * 5000 + b"]}", None, None),
        (b'{"model": "tiny", "input": [' + b"1," * 4_000_000 + b"1]}", 413, "too_large"),
    ],
)
def test_raw_bodies_are_never_a_bug(house: House, raw: bytes, status: int | None, code: str | None) -> None:
    response = house.post("/v1/embeddings", content=raw)
    error = response.json()["error"]
    assert 400 <= response.status_code < 500, error
    assert status in (None, response.status_code), error
    assert code in (None, error["code"]), error
    assert house.embed(VECTOR).status_code == 200


def test_an_ability_that_is_missing_is_named(house: House) -> None:
    for path, model in (("/v1/predictions", "tiny"), ("/v1/reconstructions", "graft")):
        response = house.post(path, {"model": model, "input": VECTOR})
        assert response.status_code == 422
        assert response.json()["error"]["code"] == "ability_missing"


def test_keys_scopes_and_projects_are_respected(house: House) -> None:
    with house.database.session() as session:
        _, reader = keys.create_key(session, house.project_id, "reader", ["read"])
        other = keys.create_project(session, "other")
        _, stranger = keys.create_key(session, other.id, "stranger", ["infer"])
    body = {"model": "tiny", "input": VECTOR}
    for secret, status, code in (
        ("rs-nobody", 401, "invalid_api_key"),
        (reader, 403, "missing_scope"),
        (stranger, 404, "model_not_found"),
    ):
        response = house.post("/v1/embeddings", body, headers={"authorization": f"Bearer {secret}"})
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert httpx.post(f"{house.url}/v1/embeddings", json=body).status_code == 401


def test_a_crowd_gets_its_answers_or_a_429_that_says_when_to_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.005)  # a wait in which a quick machine cannot answer all
    column = networks.rows(200, 784).tolist()
    body = json.dumps({"model": "wide", "input": column}).encode()
    with ThreadPoolExecutor(4 * MOST_WAITING) as pool:
        answers = list(pool.map(lambda _: house.post("/v1/embeddings", content=body), range(4 * MOST_WAITING)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    expected = numbers(house.embed(column, "wide"))
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
        else:
            np.testing.assert_allclose(numbers(answer), expected, atol=1e-4)


def test_who_finds_no_permit_is_answered_once_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a crowd that waits long enough nobody is refused, whichever way it takes."""
    monkeypatch.setattr(admission, "WAIT_SECONDS", 60.0)
    rows = networks.rows(20)
    body = json.dumps({"model": "tiny", "input": rows.tolist()}).encode()
    careful = {"content-encoding": "identity"}
    with asking(tmp_path, {"tiny": networks.write(tmp_path / "tiny")}, max_waiting=2) as client:

        def ask(place: int) -> httpx.Response:
            return client.post("/v1/embeddings", content=body, headers=careful if place % 2 else {})

        expected = numbers(ask(0))
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, range(200)))
        metrics = client.get("/metrics").text
    for answer in answers:
        np.testing.assert_allclose(numbers(answer), expected, atol=1e-5)
    assert "rootstock_inference_refused_total 0\n" in metrics
    assert "rootstock_inference_waiting 0\n" in metrics


def test_what_is_asked_behind_a_refusal_is_answered_in_order(house: House) -> None:
    body = json.dumps({"model": "tiny", "input": VECTOR}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n"
    asked = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    named = f"{head}x-request-id: the-last\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    assert house.post("/v1/embeddings", content=body).status_code == 200
    address = urlsplit(house.url)
    with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
        connection.settimeout(30)
        house.permits.taken += MOST_WAITING
        try:
            for behind in (b"", asked[:-30]):
                connection.sendall(asked)
                time.sleep(0.01)  # it stands in line
                connection.sendall(behind)
                held = b""
                while b"overloaded" not in held:
                    held += connection.recv(65536)
                assert held.startswith(b"HTTP/1.1 429 ")
        finally:
            house.permits.taken -= MOST_WAITING
        connection.sendall(asked[-30:] + named)
        held = b""
        while held.count(b'"usage"') < 2:
            held += connection.recv(65536)
    assert held.count(b"HTTP/1.1 200 ") == 2
    assert held.rindex(b"the-last") > held.rindex(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("more", ["", "content-encoding: identity\r\n"])
def test_the_wait_for_a_permit_is_counted_as_it_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch, more: str
) -> None:
    """On the short way, and with a header that needs care on the other."""
    monkeypatch.setattr(admission, "WAIT_SECONDS", 30.0)
    body = json.dumps({"model": "tiny", "input": VECTOR}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n"
    house.embed(VECTOR)
    before = queued_seconds(house)
    address = urlsplit(house.url)
    with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
        connection.settimeout(30)
        house.permits.taken += MOST_WAITING
        connection.sendall(f"{head}{more}content-length: {len(body)}\r\n\r\n".encode() + body)
        while not house.permits._line:
            time.sleep(0.001)
        time.sleep(0.02)
        house.permits.taken -= MOST_WAITING
        second = queued(house.embed(VECTOR).headers["server-timing"])  # lets the one in line in
        held = b""
        while b'"usage"' not in held:
            held += connection.recv(65536)
    first = queued(held.lower().partition(b"server-timing: ")[2].partition(b"\r\n")[0].decode())
    assert first > 0.02
    assert queued_seconds(house) - before == pytest.approx(first + second, abs=1e-5)


def queued(timing: str) -> float:
    """Seconds, of a header `Server-Timing`."""
    return float(timing.partition("queue;dur=")[2].partition(",")[0]) / 1e3


def queued_seconds(house: House) -> float:
    """What the histogram of the queue has added up."""
    text = house.client.get("/metrics").text
    return float(text.partition('rootstock_inference_seconds_sum{stage="queue"} ')[2].partition("\n")[0])


def test_only_who_has_a_key_hears_of_the_load(house: House) -> None:
    with house.database.session() as session:
        _, reader = keys.create_key(session, house.project_id, "another reader", ["read"])
    body = {"model": "tiny", "input": VECTOR}
    for _ in range(2):
        assert house.post("/v1/embeddings", body).status_code == 200
    house.permits.taken += MOST_WAITING
    try:
        for secret, status in ((ADMIN_KEY, 429), ("rs-nobody", 401), (reader, 403)):
            for _ in range(2):
                refused = house.post("/v1/embeddings", body, headers={"authorization": f"Bearer {secret}"})
                assert refused.status_code == status, refused.text
                assert ("retry-after" in refused.headers) == (status == 429)
        assert httpx.post(f"{house.url}/v1/embeddings", json=body).status_code == 401
    finally:
        house.permits.taken -= MOST_WAITING


RAW, NPY = "application/octet-stream", "application/x-npy"


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_numbers_come_and_go_without_json(house: House) -> None:
    column = networks.rows(3)
    expected = numbers(house.embed(column.tolist())).astype(np.float32)
    given = [
        (RAW, column.astype("<f4").tobytes()),
        (NPY, npy(column)),
        (NPY, npy(column.astype(np.float64))),
        (NPY, npy(np.asfortranarray(column))),
    ]
    for kind, body in given:
        for accept in (RAW, NPY, "application/json", "*/*"):
            answer = house.client.post(
                "/v1/embeddings?model=tiny", content=body, headers={"content-type": kind, "accept": accept}
            )
            assert answer.status_code == 200, answer.text
            if accept in (RAW, NPY):
                assert answer.headers["content-type"] == accept
                assert (answer.headers["x-model"], answer.headers["x-shape"]) == ("tiny:1", "3,4")
            if accept == RAW:
                found = np.frombuffer(answer.content, "<f4").reshape(3, 4)
            elif accept == NPY:
                found = np.load(io.BytesIO(answer.content))
            else:
                found = numbers(answer)
            np.testing.assert_allclose(found, expected, atol=1e-5)
    pictures = networks.pictures(2)
    for kind, body in ((NPY, npy(pictures[:, :, :, 0])), (RAW, pictures.astype("<f4").tobytes())):
        headers = {"content-type": kind, "accept": NPY}
        answer = house.client.post("/v1/reconstructions?model=picture", content=body, headers=headers)
        assert np.load(io.BytesIO(answer.content)).shape == (2, 8, 8)


def test_files_come_in_a_form(house: House) -> None:
    pictures = networks.pictures(2)[:, :, :, 0]
    expected = numbers(house.embed(pictures.tolist(), "picture"))
    encoded = [base64.b64decode(uri(picture).partition(",")[2]) for picture in pictures]
    for count in (1, 2):
        files = [("input", (f"{place}.png", content)) for place, content in enumerate(encoded[:count])]
        answer = house.client.post("/v1/embeddings", files=files, data={"model": "picture", "dimensions": "4"})
        np.testing.assert_allclose(numbers(answer), expected[:count], atol=1e-5)
    text = house.client.post("/v1/embeddings", files={"input": (None, uri(pictures[0])), "model": (None, "picture")})
    np.testing.assert_allclose(numbers(text), expected[:1], atol=1e-5)


def test_embeddings_that_nest_are_cut_and_others_are_not(house: House) -> None:
    rows = networks.rows(5).tolist()
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client:
        whole = np.array([each.embedding for each in client.embeddings.create(model="nested", input=rows).data])
        answer = client.embeddings.create(model="nested", input=rows, dimensions=2)
        cut = np.array([each.embedding for each in answer.data])
        np.testing.assert_array_equal(cut, whole[:, :2])
        assert client.embeddings.create(model="nested", input=rows, dimensions=4).data[0].embedding == list(whole[0])
        for model, dimensions, says in (("nested", 1, "to 2"), ("nested", 5, "to 2"), ("tiny", 2, "cannot shorten")):
            with pytest.raises(openai.UnprocessableEntityError, match=says):
                client.embeddings.create(model=model, input=rows, dimensions=dimensions)
        shortest = {each.id: (each.model_extra or {})["shortest_dimensions"] for each in client.models.list()}
    assert (shortest["nested"], shortest["tiny"]) == (2, None)


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "code", "says"),
    [
        ("embeddings?model=tiny", RAW, b"", 400, "empty_input", "empty"),
        ("embeddings?model=tiny", RAW, b"\0" * 47, 422, "wrong_shape", "47 bytes"),
        ("embeddings?model=tiny", RAW, b"\xff" * 48, 422, "non_finite", "nan"),
        ("embeddings?model=tiny", RAW, b"\0" * 48 * 2049, 422, "out_of_range", "2049"),
        ("embeddings", RAW, b"\0" * 48, 422, "missing_key", "model"),
        ("embeddings?model=tiny&model", RAW, b"\0" * 48, 400, "malformed", "query"),
        ("embeddings?model=tiny&dimensions=x", RAW, b"\0" * 48, 422, "wrong_type", "dimensions"),
        ("embeddings?model=tiny&dimensions=3", RAW, b"\0" * 48, 422, "out_of_range", "3"),
        ("embeddings?model=tiny&input=1", RAW, b"\0" * 48, 422, "unknown_key", "input"),
        ("embeddings?model=tiny&colour=red", RAW, b"\0" * 48, 422, "unknown_key", "colour"),
        ("embeddings?model=tinny", RAW, b"\0" * 48, 404, "model_not_found", "'tiny'"),
        ("embeddings?model=" + "t" * 5000, RAW, b"\0" * 48, 400, "malformed", "bytes"),
        ("embeddings?model=tiny&encoding_format=base64", RAW, b"\0" * 48, 422, "unknown_choice", "accept"),
        ("predictions?model=graft", RAW, b"\0" * 256, 422, "unknown_choice", "accept"),
        ("embeddings?model=tiny", NPY, b"no such thing", 400, "malformed", ".npy"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12))[:-1], 400, "malformed", "bytes"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(11)), 422, "wrong_shape", "11"),
        ("embeddings?model=tiny", NPY, npy(np.array(["a"])), 422, "wrong_type", "<U1"),
        ("embeddings?model=tiny", NPY, npy(np.array([None])), 422, "wrong_type", "object"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12))[:9] + b"(" * 60, 400, "malformed", ".npy"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12)).replace(b"{'descr':", b"((((((((("), 400, "malformed", ".npy"),
        (
            "embeddings?model=tiny",
            NPY,
            npy(np.zeros((1, 12))).replace(b"(1, 12), }  ", b"(-1, -12), }"),
            400,
            "malformed",
            "-12",
        ),
    ],
)
def test_bad_numbers_are_named(
    house: House, path: str, kind: str, body: bytes, status: int, code: str, says: str
) -> None:
    answer = house.client.post(f"/v1/{path}", content=body, headers={"content-type": kind, "accept": RAW})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert says in error["message"]


def test_counters_and_documentation(house: House) -> None:
    house.embed(VECTOR)
    text = house.client.get("/metrics").text
    counted = {line.split()[0]: float(line.split()[1]) for line in text.splitlines() if line.startswith("rootstock_i")}
    told = [line.split(" ", 3)[3] for line in text.splitlines() if line.startswith("# HELP ")]
    assert len(set(told)) == len(told)
    for name in ("requests", "items", "batches"):
        assert counted[f"rootstock_inference_{name}_total"] > 0
    for stage in ("preprocess", "queue", "inference"):
        count = counted[f'rootstock_inference_seconds_count{{stage="{stage}"}}']
        assert count == counted["rootstock_inference_requests_total"]
        assert counted[f'rootstock_inference_seconds_bucket{{stage="{stage}",le="+Inf"}}'] == count
        assert counted[f'rootstock_inference_seconds_sum{{stage="{stage}"}}'] >= 0
    document = house.client.get("/openapi.json").json()
    for path in ("/v1/embeddings", "/v1/reconstructions", "/v1/predictions"):
        operation = document["paths"][path]["post"]
        assert "input" in json.dumps(operation["requestBody"]) + json.dumps(document["components"]["schemas"])
        assert {"200", "424", "429"} <= set(operation["responses"])
        assert {"application/json", RAW, NPY, "multipart/form-data"} <= set(operation["requestBody"]["content"])
        assert "model" in {parameter["name"] for parameter in operation["parameters"]}
    answers = document["paths"]["/v1/embeddings"]["post"]["responses"]["200"]["content"]
    assert set(answers) == {"application/json", RAW, NPY}


def test_texts_and_their_tokens_embed_alike_and_usage_counts_tokens(house: House, tmp_path: Path) -> None:
    texts = ["oak elm", "fig fir yew oak elm"]
    answer = house.embed(texts, "reader")
    wanted = numbers(answer)
    assert [item["index"] for item in answer.json()["data"]] == [0, 1]
    np.testing.assert_allclose(numbers(house.embed(texts[1], "reader"))[0], wanted[1], atol=1e-5)

    modality = artifact.load(networks.write(tmp_path, modality="text")).roles["input"]
    encoded = modality.encode(modality.read(texts))
    tokens = [row[real].tolist() for row, real in zip(encoded["values"], encoded["mask"], strict=True)]
    used = sum(map(len, tokens))
    assert answer.json()["usage"] == {"prompt_tokens": used, "total_tokens": used}
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=ADMIN_KEY) as client:
        given = [item.embedding for item in client.embeddings.create(model="reader", input=tokens).data]
        assert client.embeddings.create(model="reader", input=tokens[0]).usage.total_tokens == len(tokens[0])
    np.testing.assert_allclose(given, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ("", 400, "empty_input"),
        (["oak", ""], 400, "empty_input"),
        ([[1, 10**6]], 422, "out_of_range"),
        (["oak", [5]], 422, "wrong_type"),
        (["oak", 1.5], 422, "wrong_type"),
        ("x" * 5_000_000, 422, "out_of_range"),
        ("x" * 10_000_000, 413, "too_large"),
        (["oak"] * 2049, 422, "out_of_range"),
    ],
)
def test_wrong_texts_are_named(house: House, wrong: Any, status: int, code: str) -> None:
    answer = house.embed(wrong, "reader")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
