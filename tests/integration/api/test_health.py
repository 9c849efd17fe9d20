"""What needs no key, and the numbers."""

from pathlib import Path

import pytest

from app.settings import Settings
from tests import rows
from tests.integration.api.conftest import Garden, House, serve
from tests.integration.api.faults import refused


def test_the_service_is_ready_when_all_answers(tmp_path: Path, valkey_url: str) -> None:
    with serve(Settings(home=tmp_path, broker_url=valkey_url)) as house, house.client(None) as client:
        assert client.get("/readyz").json() == {"status": "ok"}
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json()["checks"] == {"database": "ok", "broker": "ok", "storage": "ok"}


def test_what_does_not_answer_is_named(tmp_path: Path) -> None:
    broker = "redis://127.0.0.1:1/0"
    with serve(Settings(home=tmp_path, broker_url=broker)) as house, house.client(None) as client:
        answer = client.get("/readyz")
        assert "broker" in refused(answer, 503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")
        assert health.json()["checks"]["database"] == "ok"


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/docs"])
def test_some_routes_need_no_key(house: House, path: str) -> None:
    with house.client(None) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]
    assert "https://" not in answer.text
    assert "<script" not in answer.text


def test_metrics_count_requests_and_jobs(garden: Garden) -> None:
    with garden.database.session() as session:
        rows.job(session, garden.project_id, "failed")
        rows.job(session, garden.project_id)
    garden.client.get("/v1/jobs/job-unknown")
    garden.client.get("/nowhere")

    answer = garden.client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    numbers = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            numbers[name] = float(value)
    assert numbers['rootstock_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}'] >= 1
    assert numbers['rootstock_requests_total{method="GET",route="unmatched",status="404"}'] >= 1
    bucket = 'rootstock_request_seconds_bucket{method="GET",route="/v1/jobs/{job_id}",status="404",le="+Inf"}'
    assert numbers[bucket] >= 1
    assert numbers['rootstock_jobs{kind="pretrain",status="failed"}'] >= 1
    assert numbers['rootstock_queue_wait_seconds{queue="train"}'] >= 0
    assert numbers["rootstock_models_loaded"] == len(garden.house.services.serving._loaded)  # other tests ask, too
