"""Who may ask, who has to wait, who is refused, and how all of that is counted."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from app.ml.inference import admission, batch_size
from app.registry import keys
from tests import networks
from tests.service import ADMIN_KEY, MOST_WAITING, NPY, RAW, VECTOR, House, asking, numbers


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
    assert httpx.post(f"{house.url}/v1/embeddings", json=body, timeout=60).status_code == 401


def test_a_crowd_gets_its_answers_or_a_429_that_says_when_to_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.005)
    column = networks.rows(200, 784).tolist()
    body = json.dumps({"model": "wide", "input": column}).encode()
    with ThreadPoolExecutor(4 * MOST_WAITING) as pool:
        house.permits.taken += MOST_WAITING
        asked = [pool.submit(house.post, "/v1/embeddings", content=body) for _ in range(4 * MOST_WAITING)]
        try:
            next(as_completed(asked)).result()  # refused: others hold every permit
        finally:
            house.permits.taken -= MOST_WAITING
        answers = [answer.result() for answer in asked] + [house.post("/v1/embeddings", content=body)]
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


def test_what_can_be_answered_at_once_keeps_no_permit_from_who_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd of small questions is answered where there is one permit and no patience."""
    monkeypatch.setattr(admission, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(batch_size, "HERE_SECONDS", 60.0)  # they are small, however busy the machine is
    rows = networks.rows(20)
    with asking(tmp_path, {"tiny": networks.write(tmp_path / "tiny")}, looked=True, max_waiting=1) as client:
        expected = numbers(client.post("/v1/embeddings", json={"model": "tiny", "input": rows.tolist()}))

        def ask(place: int) -> httpx.Response:
            row = rows[place % len(rows)].tolist()
            return client.post("/v1/embeddings", json={"model": "tiny", "input": row})

        ask(0)
        time.sleep(0.05)  # the thread that answered the first has nothing to do any more
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(ask, range(400)))
        metrics = client.get("/metrics").text
    for place, answer in enumerate(answers):
        np.testing.assert_allclose(numbers(answer)[0], expected[place % len(rows)], atol=1e-5)
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
    """On the fast path, and with a header that needs care on the other."""
    monkeypatch.setattr(admission, "WAIT_SECONDS", 5.0)  # what it sets a timer for outlasts this test
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
        assert httpx.post(f"{house.url}/v1/embeddings", json=body, timeout=60).status_code == 401
    finally:
        house.permits.taken -= MOST_WAITING


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
