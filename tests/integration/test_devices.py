"""Two processes that share a job, with the real command, `torchrun` and gloo, against one that does it alone."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from app.registry import leases, metrics
from app.registry.db import Database
from app.registry.tables import Job
from app.storage import Storage
from tests.workshop import Workshop, blobs
from worker.launcher import COMMAND, kill
from worker.process import DONE, LEFT, Order

BODY: dict[str, Any] = {
    "encoder": {"name": "mlp", "widths": [1024, 1024]},
    "training": {"epochs": 10, "batch_size": 64, "precision": "fp32", "early_stopping": None},
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    return Workshop(database, Storage((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


def begin(workshop: Workshop, job: Job, tmp_path: Path) -> tuple[int, "subprocess.Popen[bytes]"]:
    """Claims the job and starts its process, as a worker with two devices does."""
    token = workshop.claim(job.id).token
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOTSTOCK_")} | {
        "ROOTSTOCK_HOME": str(tmp_path / "home"),
        "ROOTSTOCK_DATABASE_URL": workshop.settings.resolved_database_url,
        "ROOTSTOCK_STORAGE_URL": (tmp_path / "objects").as_uri(),
        "ROOTSTOCK_DEVICES": "2",
    }
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(Order(job.id, token, "pretrain").line())
    process.stdin.flush()
    return token, process


def losses(workshop: Workshop, job: Job) -> dict[tuple[str, int], float | None]:
    with workshop.database.reading() as session:
        points = metrics.series(session, job.id, limit=1000, name="loss")
        return {(point.split, point.step): point.value for point in points}


@pytest.mark.parametrize("objective", ["autoencoding"])
def test_two_processes_learn_what_one_does_and_go_on_after_a_pause(
    workshop: Workshop, tmp_path: Path, objective: str
) -> None:
    dataset = workshop.dataset(blobs())
    alone = workshop.job(dataset, objective={"name": objective}, **BODY)
    shared = workshop.job(dataset, objective={"name": objective}, **BODY)
    token, process = begin(workshop, shared, tmp_path)
    try:
        while not workshop.look(shared).progress:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == LEFT
    finally:
        kill(process)
    left = workshop.look(shared).progress
    assert left["step"] < left["max_steps"] == 50
    with workshop.database.session() as session:
        leases.leave(session, shared.id, token)
    _, process = begin(workshop, shared, tmp_path)
    try:
        assert process.wait(120) == DONE
    finally:
        kill(process)
    workshop.train(alone)

    together = losses(workshop, shared)
    assert len(together) == 20
    assert together == pytest.approx(losses(workshop, alone), rel=1e-4)
    assert workshop.look(shared).status == "succeeded"
