"""A store that goes away: no job fails for it, and none uses up an attempt."""

import threading
from pathlib import Path
from typing import Any

from app.registry import events, leases
from app.registry.db import Database
from app.storage import Storage, storage_at
from tests import servers
from tests.job_processes import begin
from tests.workshop import Workshop, blobs
from worker.processes.launcher import kill
from worker.processes.process import LEFT, wait_for_store


def warned(database: Database, job_id: str) -> bool:
    with database.reading() as session:
        told = [event.message for event in events.after(session, job_id, 0, 100) if event.level == "warn"]
    return told == ["the store does not answer; the job goes on when it does"]


def test_a_store_that_answers_again_is_not_waited_for(storage: Storage) -> None:
    wait_for_store(storage, threading.Event())


def test_a_job_whose_store_is_away_is_handed_back(sqlite_registry: Database, tmp_path: Path) -> None:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**28)
    workshop = Workshop(sqlite_registry, storage, tmp_path / "home")
    job = workshop.job(workshop.dataset(blobs(60)), training={"epochs": 1})
    nowhere: dict[str, Any] = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{servers.free_port()}", "AWS_ALLOW_HTTP": "true"}
    keys: dict[str, Any] = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    token, process = begin(workshop, job, tmp_path, ROOTSTOCK_STORAGE_URL="s3://nowhere", **nowhere, **keys)
    try:
        servers.wait_until(lambda: warned(sqlite_registry, job.id), "the job's warning", process)
        process.terminate()  # its owner pauses it, say; else it waits on
        assert process.wait(servers.PATIENCE) == LEFT
    finally:
        kill(process)
    assert workshop.look(job).status == "running"
    with sqlite_registry.session() as session:
        assert leases.leave(session, job.id, token) == "queued"
    assert workshop.look(job).attempt == 1
    assert workshop.train(job).number == 1
