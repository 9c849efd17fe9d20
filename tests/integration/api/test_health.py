"""What needs no key, and the numbers."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.registry import checkpoints, fenced
from app.settings import Settings
from tests import rows
from tests.integration.api.conftest import Garden, House, serve
from tests.integration.api.faults import refused
from tests.little_room import little_room


def test_the_service_is_ready_when_all_answers(tmp_path: Path, valkey_url: str) -> None:
    with serve(Settings(home=tmp_path, broker_url=valkey_url)) as house, house.client(None) as client:
        assert client.get("/readyz").json() == {"status": "ok", "full": []}
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json()["checks"] == {"database": "ok", "broker": "ok", "storage": "ok", "room": "ok"}


def test_a_full_disk_is_named_and_takes_nobody_out_of_service(tmp_path: Path, valkey_url: str) -> None:
    """The disk is the bound that the kernel sets to the size of a process's files."""
    with serve(Settings(home=tmp_path, broker_url=valkey_url)) as house, house.client(None) as client:
        with little_room(2**19):
            ready, health = client.get("/readyz"), client.get("/health")
        assert (ready.status_code, ready.json()["full"]) == (200, ["home", "database", "storage"])
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert "storage" in health.json()["checks"].pop("room")
        assert set(health.json()["checks"].values()) >= {"ok"}
        assert client.get("/readyz").json()["full"] == []


def test_what_does_not_answer_is_named(tmp_path: Path) -> None:
    broker = "redis://127.0.0.1:1/0"
    with serve(Settings(home=tmp_path, broker_url=broker)) as house, house.client(None) as client:
        answer = client.get("/readyz")
        assert "broker" in refused(answer, 503, "not_ready")
        assert int(answer.headers["retry-after"]) >= 1
        health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "degraded")
        assert health.json()["checks"]["database"] == "ok"


def test_a_database_that_lacks_a_migration_is_named_and_one_of_a_newer_release_will_do(
    tmp_path: Path, valkey_url: str
) -> None:
    """A newer release migrates before processes of this one are replaced one by one; those answer until then."""
    with serve(Settings(home=tmp_path, broker_url=valkey_url)) as house, house.client(None) as client:

        def ready_at(revision: str | None) -> httpx.Response:
            version = sa.table("alembic_version", sa.column("version_num"))
            with house.database.engine.begin() as connection:
                if revision is None:
                    connection.execute(sa.text("drop table alembic_version"))
                else:
                    connection.execute(version.update().values(version_num=revision))
            return client.get("/readyz")

        assert ready_at("9999").status_code == 200
        for older in ("0001", None):
            assert "rootstock migrate" in refused(ready_at(older), 503, "not_ready")


@pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/docs"])
def test_some_routes_need_no_key(house: House, path: str) -> None:
    with house.client(None) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]
    assert "https://" not in answer.text
    assert "<script" not in answer.text


def figures(garden: Garden) -> dict[str, float]:
    """What `/metrics` counts, by name and labels."""
    answer = garden.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = (line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_metrics_count_requests_and_jobs(garden: Garden) -> None:
    learned, slowest = 'rootstock_job_samples_per_second{kind="pretrain"}', "rootstock_checkpoint_write_seconds"
    before = figures(garden)  # of jobs that other tests left running
    with garden.database.session() as session:
        rows.job(session, garden.project_id, "failed")
        rows.job(session, garden.project_id)
        for rate in (2000.0, 0.5, None):
            job = rows.job(session, garden.project_id, "running")
            fenced.set_progress(session, job.id, job.token, {"samples_per_second": rate})
            for step, seconds in enumerate((30.0, 0.25 if rate is None else 0.75)):
                saved: dict[str, Any] = {"step": step, "metrics": {}, "objects": {"state": rows.stored()}}
                checkpoints.add(session, job.id, job.token, write_seconds=seconds, **saved)
    garden.client.get("/v1/jobs/job-unknown")
    garden.client.get("/nowhere")

    numbers = figures(garden)
    assert numbers['rootstock_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}'] >= 1
    assert numbers['rootstock_requests_total{method="GET",route="unmatched",status="404"}'] >= 1
    bucket = 'rootstock_request_seconds_bucket{method="GET",route="/v1/jobs/{job_id}",status="404",le="+Inf"}'
    assert numbers[bucket] >= 1
    assert numbers['rootstock_jobs{kind="pretrain",status="failed"}'] >= 1
    assert numbers['rootstock_queue_wait_seconds{queue="train"}'] >= 0
    assert numbers[learned] - before.get(learned, 0.0) == pytest.approx(2000.5)
    assert numbers['rootstock_lease_age_seconds{kind="pretrain"}'] >= 0
    for disk in ["home"] if garden.house.storage.folder is None else ["home", "database", "storage"]:
        free, size = (numbers[f'rootstock_disk_{name}_bytes{{disk="{disk}"}}'] for name in ("free", "size"))
        assert 0 <= free < size
    assert numbers[slowest] == max(0.75, before.get(slowest, 0.0))
    assert numbers["rootstock_checkpoint_age_seconds"] >= 0
    assert numbers["rootstock_models_loaded"] == len(garden.house.services.serving._loaded)  # other tests ask, too
