"""SIGKILL while a checkpoint is being written: the job goes on from the one before, to the same weights."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from app.registry import leases
from app.registry.db import Database
from app.storage import storage_at
from app.sweep import remove_scratch
from tests.job_processes import begin
from tests.servers import stands_still, wait_until
from tests.workshop import Workshop, blobs
from worker.processes.launcher import kill

BODY: dict[str, Any] = {
    "encoder": {"name": "mlp", "widths": [1024, 1024]},
    "training": {"epochs": 12, "batch_size": 64, "precision": "fp32", "checkpoint_seconds": 0.1},
}
GONE = {"message": "gone", "code": "worker_lost", "type": "server_error", "param": None}


def test_a_job_killed_within_a_checkpoint_ends_with_the_same_weights(sqlite_registry: Database, tmp_path: Path) -> None:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**28)
    workshop = Workshop(sqlite_registry, storage, tmp_path / "home")
    dataset = workshop.dataset(blobs(labels=False))
    whole, job = workshop.job(dataset, **BODY), workshop.job(dataset, **BODY)
    scratch = workshop.settings.scratch
    token, process = begin(workshop, job, tmp_path)
    try:
        seen: set[Path] = set()
        while True:
            seen |= set(scratch.glob("checkpoint-*/state.safetensors"))
            assert process.poll() is None
            if len(seen) >= 3:  # the first is of step 0
                os.killpg(process.pid, signal.SIGSTOP)
                wait_until(lambda: stands_still(process.pid), "the stop", process)
                left = list(scratch.glob("checkpoint-*/state.safetensors"))
                if left:
                    break
                os.killpg(process.pid, signal.SIGCONT)
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        kill(process)
    assert [path for path in left if path.exists()], "it was killed before it had tidied up"
    with sqlite_registry.session() as session:
        assert leases.lose(session, job.id, token, GONE) == "queued"

    resumed, expected = workshop.train(job), workshop.train(whole)

    assert workshop.weights(resumed) == workshop.weights(expected)
    remove_scratch(workshop.settings)
    assert all(path.exists() for path in left), "somebody might still write there"
    for path in scratch.rglob("*"):
        os.utime(path, (0, 0))
    remove_scratch(workshop.settings)
    assert list(scratch.glob("*")) == []
