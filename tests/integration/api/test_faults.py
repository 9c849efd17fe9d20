"""Whatever is wrong with a request gets the envelope, before anything is made."""

from typing import Any

import httpx
import pytest

from tests import rows
from tests.integration.api.conftest import MAX_BODY, Garden, House
from tests.integration.api.faults import refused

JOB = {"kind": "pretrain", "dataset": "ds-1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/files"),
        ("POST", "/v1/files"),
        ("POST", "/v1/datasets"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/job-1/events"),
        ("DELETE", "/v1/models/digits"),
        ("POST", "/v1/embeddings"),
        ("GET", "/metrics"),
    ],
)
def test_nobody_gets_in_without_a_known_key(house: House, method: str, path: str) -> None:
    with house.client(None) as client:
        answer = client.request(method, path, content=b"{ no JSON at all")
        refused(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    with house.client("rs-00000000-unknown") as client:
        refused(client.request(method, path), 401, "invalid_api_key")


def test_a_scheme_other_than_bearer_is_no_key(house: House) -> None:
    with house.client(None) as client:
        refused(client.get("/v1/files", headers={"authorization": "Basic cm9vdDpyb290"}), 401, "invalid_api_key")


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("GET", "/models", "/v1/models"),
        ("POST", "/embeddings", "/v1/embeddings"),
        ("GET", "/v1/v1/jobs/job-1", "/v1/jobs/job-1"),
        ("GET", "/v1/models/", "/v1/models"),
        ("DELETE", "/v1//files/file-1", "/v1/files/file-1"),
        ("GET", "/v1/dataset/ds-1", "/v1/datasets/ds-1"),
        ("POST", "/embedding", "/v1/embeddings"),
        ("POST", "/v1/jobs/job-1/stop", None),
        ("POST", "/v1/chat/completions", None),
        ("GET", "/", None),
    ],
)
def test_a_base_address_that_is_not_quite_right_is_told_so(
    garden: Garden, method: str, path: str, meant: str | None
) -> None:
    said = refused(garden.client.request(method, f"{garden.client.base_url}{path}"), 404, "not_found")
    assert said.endswith("/docs lists all routes")
    assert ("did you mean" in said) == (meant is not None)
    assert meant is None or f"did you mean {meant}?" in said


def test_every_route_asks_for_its_scope(house: House, garden: Garden) -> None:
    with house.client(house.key(garden.project_id, "read")) as client:
        assert client.get("/v1/files").status_code == 200
        assert "'train'" in refused(client.post("/v1/jobs", json=JOB), 403, "missing_scope")
        refused(client.delete("/v1/files/file-1"), 403, "missing_scope")
        refused(client.post("/v1/embeddings", json={"model": "m", "input": [1]}), 403, "missing_scope")
    with house.client(house.key(garden.project_id, "train")) as client:
        refused(client.get("/v1/files"), 403, "missing_scope")


def test_what_belongs_to_another_project_is_not_there(garden: Garden, stranger: httpx.Client) -> None:
    with garden.database.session() as session:
        file = rows.file(session, garden.project_id).id
        dataset = rows.dataset(session, garden.project_id).id
        job = rows.job(session, garden.project_id).id
        rows.version(session, garden.project_id, "digits")
    for path in (
        f"/v1/files/{file}",
        f"/v1/files/{file}/content",
        f"/v1/datasets/{dataset}",
        f"/v1/datasets/{dataset}/profile",
        f"/v1/datasets/{dataset}/report",
        f"/v1/datasets/{dataset}/rows",
        f"/v1/jobs/{job}",
        f"/v1/jobs/{job}/events",
        f"/v1/jobs/{job}/metrics",
        f"/v1/jobs/{job}/checkpoints",
    ):
        refused(stranger.get(path), 404, "not_found")
    refused(stranger.get(f"/v1/jobs/{job}/events", headers={"accept": "text/event-stream"}), 404, "not_found")
    for action in ("cancel", "pause", "resume", "retry"):
        refused(stranger.post(f"/v1/jobs/{job}/{action}"), 404, "not_found")
    refused(stranger.delete(f"/v1/files/{file}"), 404, "not_found")
    refused(stranger.delete(f"/v1/datasets/{dataset}"), 404, "not_found")
    refused(stranger.post("/v1/jobs", json={"kind": "pretrain", "dataset": dataset}), 404, "not_found", "dataset")
    refused(stranger.post("/v1/datasets", json={"name": "d", "files": [file]}), 404, "not_found", "files")
    for path in ("", "/versions", "/lineage", "/artifact"):
        refused(stranger.get(f"/v1/models/digits{path}"), 404, "model_not_found", "model")
    for path in ("/v1/files", "/v1/datasets", "/v1/jobs", "/v1/models"):
        assert stranger.get(path).json()["data"] == []


def test_a_body_where_none_is_taken_says_nothing_or_is_refused(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id)
    path = f"/v1/jobs/{job.id}/pause"
    assert path in refused(garden.client.post(path, json={"after_step": 100}), 422, "unknown_key")
    assert garden.client.get(f"/v1/jobs/{job.id}").json()["status"] == "queued"
    assert garden.client.post(path, json={}).json()["status"] == "paused"


def test_an_unknown_route_and_an_unknown_method_are_named(garden: Garden) -> None:
    assert "/v1/gardens" in refused(garden.client.get("/v1/gardens"), 404, "not_found")
    assert "/v1/files/" in refused(garden.client.get("/v1/files/"), 404, "not_found")
    for path, methods in (
        ("/v1/jobs", "GET, HEAD, POST"),
        ("/v1/models/digits", "DELETE, GET, HEAD, PATCH"),
        ("/v1/embeddings", "POST"),
    ):  # routes of their own
        answer = garden.client.put(path)
        assert f"use {methods.replace(', ', ' or ')}" in refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == methods


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_input"),
        (b"{'kind': 1}", 400, "malformed"),
        (b'{"kind": "pretrain"', 400, "malformed"),
        (b'{"kind": "\xff"}', 400, "malformed"),
        (b'{"kind": "\\ud800"}', 400, "malformed"),
        (b'{"kind": "a\\u0000b"}', 400, "malformed"),
        (b"[" * 5000, 400, "malformed"),
        (b'{"weight": NaN}', 422, "non_finite"),
        (b'{"weight": -Infinity}', 422, "non_finite"),
        (b'{"weight": 1e999}', 422, "non_finite"),
        (b"[1]", 422, "wrong_type"),
        (b"null", 422, "wrong_type"),
    ],
)
def test_a_body_that_is_no_good_json_is_refused(garden: Garden, path: str, body: bytes, status: int, code: str) -> None:
    refused(garden.client.post(path, content=body, headers={"content-type": "application/json"}), status, code)


def test_a_body_of_another_type_is_refused(garden: Garden) -> None:
    assert "application/json" in refused(garden.client.post("/v1/jobs", data={"kind": "pretrain"}), 400, "malformed")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (JOB | {"speed": 9}, "unknown_key", "speed"),
        (JOB | {"training": {"epochs": 0}}, "out_of_range", "training.epochs"),
        (JOB | {"training": {"learning_rate": "fast"}}, "wrong_type", "training.learning_rate"),
        (JOB | {"objective": {"name": "guessing"}}, "unknown_choice", "objective.name"),
        (JOB | {"kind": "ingest"}, "unknown_choice", "kind"),
        ({"dataset": "ds-1"}, "missing_key", "kind"),
    ],
)
def test_a_wrong_job_is_told_what_and_where(garden: Garden, body: dict[str, Any], code: str, param: str) -> None:
    refused(garden.client.post("/v1/jobs", json=body), 422, code, param)
    assert garden.client.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", "out_of_range", "limit"),
        ("limit=101", "out_of_range", "limit"),
        ("limit=many", "wrong_type", "limit"),
        ("limit=NaN", "wrong_type", "limit"),
        ("order=random", "unknown_choice", "order"),
        ("status=lost", "unknown_choice", "status"),
        ("metadata[a'b]=1", "out_of_range", "metadata"),
    ],
)
def test_a_wrong_query_is_told_what_and_where(garden: Garden, query: str, code: str, param: str) -> None:
    refused(garden.client.get(f"/v1/jobs?{query}"), 422, code, param)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("/v1/jobs?afer=job-1", "did you mean after? There are after, kind, limit, metadata, order, status"),
        ("/v1/datasets?name=digits", "/v1/datasets has no query parameter 'name'; there are after, limit, "),
        ("/v1/jobs?metadat[colour]=red", "did you mean metadata?"),
        ("/v1/files/file-1?all=1", "there are none"),
    ],
)
def test_an_unknown_query_is_refused(garden: Garden, query: str, said: str) -> None:
    param = query.partition("?")[2].partition("=")[0]
    assert said in refused(garden.client.get(query), 422, "unknown_key", param)


@pytest.mark.parametrize(
    ("path", "like"),
    [
        ("/v1/files", "file-…"),
        ("/v1/datasets", "ds-…"),
        ("/v1/jobs", "job-…"),
        ("/v1/batches", "batch_…"),
    ],
)
def test_a_page_behind_nothing_is_refused(garden: Garden, path: str, like: str) -> None:
    assert like in refused(garden.client.get(path, params={"after": "nonsense"}), 422, "wrong_type", "after")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/datasets", "/v1/jobs", "/v1/batches", "/v1/models"])
def test_a_loop_may_begin_with_a_page_behind_an_empty_id(garden: Garden, path: str) -> None:
    first = garden.client.get(path, params={"after": "", "limit": 2})
    assert (first.status_code, first.json()) == (200, garden.client.get(path, params={"limit": 2}).json())


@pytest.mark.parametrize("path", ["/v1/jobs/job-%00", "/v1/jobs?after=%00", "/v1/models/%00"])
def test_a_nul_in_the_address_is_refused(garden: Garden, path: str) -> None:
    refused(garden.client.get(path), 400, "malformed")


def test_a_body_that_is_too_large_is_refused(garden: Garden) -> None:
    body = JOB | {"metadata": {"note": "x" * MAX_BODY}}
    refused(garden.client.post("/v1/jobs", json=body), 413, "too_large")

    def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 1000

    streamed = garden.client.post("/v1/jobs", content=chunks(), headers={"content-type": "application/json"})
    refused(streamed, 413, "too_large")
    assert garden.client.get("/v1/jobs").status_code == 200


def test_a_request_id_is_taken_over_or_drawn(garden: Garden) -> None:
    given = garden.client.get("/v1/jobs", headers={"x-request-id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    drawn = garden.client.get("/v1/jobs", headers={"x-request-id": "no good id"})
    assert drawn.headers["x-request-id"].startswith("req-")
