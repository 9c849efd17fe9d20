"""The same POST twice creates once."""

import threading
from typing import Any

import httpx
import pytest

from tests import rows
from tests.integration.api.conftest import Garden
from tests.integration.api.data import vectors
from tests.integration.api.faults import refused


@pytest.fixture
def body(garden: Garden) -> dict[str, Any]:
    with garden.database.session() as session:
        dataset = rows.dataset(session, garden.project_id, "validating").id
    return {"kind": "pretrain", "dataset": dataset}


def count(garden: Garden, path: str, **query: str) -> int:
    return len(garden.client.get(path, params=query).json()["data"])


def test_ten_equal_posts_at_once_make_one_job(garden: Garden, body: dict[str, Any]) -> None:
    answers: list[httpx.Response] = []
    gate = threading.Barrier(10)

    def post() -> None:
        gate.wait()
        answers.append(garden.client.post("/v1/jobs", json=body, headers={"idempotency-key": "one"}))

    threads = [threading.Thread(target=post) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("x-idempotent-replay" in answer.headers for answer in answers) == 9
    assert count(garden, "/v1/jobs", kind="pretrain") == 1


def test_a_key_with_another_body_is_refused(garden: Garden, body: dict[str, Any]) -> None:
    headers = {"idempotency-key": "one"}
    garden.client.post("/v1/jobs", json=body, headers=headers).raise_for_status()
    answer = garden.client.post("/v1/jobs", json=body | {"name": "other"}, headers=headers)
    refused(answer, 409, "idempotency_key_reused")
    assert answer.headers["x-should-retry"] == "false"
    for wrong in ("", "x" * 256):
        refused(
            garden.client.post("/v1/jobs", json=body, headers={"idempotency-key": wrong}),
            422,
            "out_of_range",
            "Idempotency-Key",
        )


def test_a_batch_that_is_asked_for_again_is_given_again_whatever_became_of_its_file(garden: Garden) -> None:
    """The file is looked into before the transaction, and only a new request hears of it."""

    def upload(content: bytes) -> str:
        form: dict[str, Any] = {"files": {"file": ("r.jsonl", content)}, "data": {"purpose": "batch"}}
        return str(garden.client.post("/v1/files", **form).json()["id"])

    def post(file: str, key: str) -> httpx.Response:
        body = {"input_file_id": file, "endpoint": "/v1/embeddings"}
        return garden.client.post("/v1/batches", json=body, headers={"idempotency-key": key})

    file = upload(b'{"custom_id": "1"}')
    made = post(file, "one").raise_for_status().json()
    garden.client.post(f"/v1/batches/{made['id']}/cancel").raise_for_status()
    for path in (f"/v1/batches/{made['id']}", f"/v1/files/{file}"):
        garden.client.delete(path).raise_for_status()

    assert post(file, "one").json() == made
    refused(post(file, "two"), 404, "not_found", "input_file_id")
    refused(post(upload(b"a,b\n1,2\n"), "three"), 400, "malformed", "input_file_id")
    assert count(garden, "/v1/batches") == 0


def test_a_key_belongs_to_its_project(garden: Garden, stranger: httpx.Client) -> None:
    def post(client: httpx.Client) -> httpx.Response:
        files = {"file": ("a.csv", b"1,2")}
        return client.post("/v1/files", files=files, data={"purpose": "batch"}, headers={"idempotency-key": "one"})

    assert post(garden.client).json()["id"] != post(stranger).json()["id"]


def test_a_refusal_is_not_remembered(garden: Garden, body: dict[str, Any]) -> None:
    headers = {"idempotency-key": "one"}
    refused(
        garden.client.post("/v1/jobs", json=body | {"dataset": "ds-0"}, headers=headers), 404, "not_found", "dataset"
    )
    assert garden.client.post("/v1/jobs", json=body, headers=headers).status_code == 200


def test_an_upload_is_repeated_whatever_its_boundary(garden: Garden) -> None:
    before = {key for key, _ in garden.house.storage.listing()}

    def post(content: bytes) -> httpx.Response:
        headers = {"idempotency-key": "one"}
        files = {"file": ("a.csv", content)}
        return garden.client.post("/v1/files", files=files, data={"purpose": "batch"}, headers=headers)

    first, again = post(b"1,2"), post(b"1,2")
    refused(post(b"3,4"), 409, "idempotency_key_reused")

    assert again.json() == first.json()
    assert again.headers["x-idempotent-replay"] == "true"
    assert count(garden, "/v1/files") == 1
    assert len({key for key, _ in garden.house.storage.listing()} - before) == 1


def test_a_dataset_form_is_repeated(garden: Garden) -> None:
    def post() -> httpx.Response:
        files = {"file": ("rows.npz", vectors())}
        return garden.client.post("/v1/datasets", files=files, data={"name": "d"}, headers={"idempotency-key": "one"})

    first, again = post(), post()
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert (count(garden, "/v1/datasets"), count(garden, "/v1/files")) == (1, 1)


def test_a_stock_sdks_retry_is_answered_with_the_first_answer(garden: Garden, body: dict[str, Any]) -> None:
    def post(retries: str) -> httpx.Response:
        return garden.client.post("/v1/jobs", json=body, headers={"x-stainless-retry-count": retries})

    first = post("0")
    again = post("1")
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["x-idempotent-replay"] == "true"
    assert post("2").json()["id"] == first.json()["id"]

    another = post("0")
    assert another.json()["id"] != first.json()["id"]
    assert "x-idempotent-replay" not in another.headers
    assert count(garden, "/v1/jobs", kind="pretrain") == 2
    refused(post("often"), 422, "wrong_type", "x-stainless-retry-count")


def test_a_retry_of_a_job_is_made_once(garden: Garden) -> None:
    with garden.database.session() as session:
        dataset = rows.dataset(session, garden.project_id)
        failed = rows.job(session, garden.project_id, "failed", datasets=[dataset]).id

    def post() -> httpx.Response:
        return garden.client.post(f"/v1/jobs/{failed}/retry", headers={"idempotency-key": "again"})

    first = post().json()["id"]
    garden.client.post(f"/v1/jobs/{first}/cancel").raise_for_status()
    assert post().json()["id"] == first
