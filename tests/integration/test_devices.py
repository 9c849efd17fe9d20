"""Two processes that share a job, with the real command, `torchrun` and gloo, against one that does it alone."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from app.registry import jobs, leases, metrics
from app.registry.db import Database
from app.registry.tables import Job
from app.storage import storage_at
from tests.job_processes import begin
from tests.servers import PATIENCE
from tests.workshop import Workshop, blobs
from worker.processes.launcher import kill
from worker.processes.process import DONE, LEFT

BODY: dict[str, Any] = {
    "encoder": {"name": "mlp", "widths": [1024, 1024]},
    "training": {"epochs": 10, "batch_size": 64, "precision": "fp32", "early_stopping": None},
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    made = Workshop(database, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")
    made.settings = made.settings.model_copy(update={"device": "cpu"})  # one GPU cannot be shared by two
    return made


Losses = dict[tuple[str, int], float | None]
"""By split and step."""


def losses(workshop: Workshop, job: Job) -> Losses:
    with workshop.database.reading() as session:
        points = metrics.series(session, job.id, limit=1000, name="loss")
        return {(point.split, point.step): point.value for point in points}


def wait_for_steps(workshop: Workshop, job: Job, process: "subprocess.Popen[bytes]") -> None:
    while not workshop.look(job).progress:
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("objective", "parts", "pauses", "width"),
    [("autoencoding", 1, 1, 1024), ("contrastive", 1, 0, 64), ("masked", 2, 0, 64)],
)
def test_two_processes_learn_what_one_does_also_after_a_pause(
    workshop: Workshop, tmp_path: Path, objective: str, parts: int, pauses: int, width: int
) -> None:
    """What is hidden from an objective is drawn for every part of a batch: alone, it is computed in as many.

    What is to be paused is wide, so that it is not over before.
    """
    body = BODY | {"encoder": {"name": "mlp", "widths": [width, width]}}
    dataset = workshop.dataset(blobs(labels=False))
    training = body["training"] | {"accumulation": parts}
    alone = workshop.job(dataset, objective={"name": objective}, **body | {"training": training})
    shared = workshop.job(dataset, objective={"name": objective}, **body)
    for _ in range(pauses):
        token, process = begin(workshop, shared, tmp_path, devices=2, ROOTSTOCK_DEVICE="cpu")
        try:
            wait_for_steps(workshop, shared, process)
            with workshop.database.session() as session:
                jobs.ask(session, workshop.project_id, shared.id, "pause")
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == LEFT
        finally:
            kill(process)
        left = workshop.look(shared).progress
        assert left["step"] < left["max_steps"] == 50
        with workshop.database.session() as session:
            assert leases.leave(session, shared.id, token) == "paused"
            jobs.resume(session, workshop.project_id, shared.id)
    together, expected = learned(workshop, tmp_path, shared, alone)
    assert len(together) == 20
    worst = max(abs((together[at] or 0) / (value or 1) - 1) for at, value in expected.items())
    print(f"{objective}: losses of two processes differ from those of one by {worst:.1e} at most")
    assert together == pytest.approx(expected, rel=1e-4)


def test_two_processes_know_which_pairs_of_a_batch_share_an_item(workshop: Workshop, tmp_path: Path) -> None:
    """Three labels of 120 texts: a third of a batch are no wrong choices for each other, wherever they are computed."""
    lines = [f"{['red', 'green', 'blue'][row % 3]},thing {row} of {row % 7}" for row in range(120)]
    content = "\n".join(["left,right", *lines]).encode()
    dataset = workshop.dataset(content, "pairs.csv", columns={"left": "left", "right": "right"})
    encoder = {"name": "rnn", "preset": "nano"}
    body: dict[str, Any] = {
        "objective": {"name": "alignment"},
        "roles": {"left": {"encoder": encoder}, "right": {"encoder": encoder}},
        "training": BODY["training"] | {"epochs": 3, "batch_size": 32},
    }
    together, expected = learned(workshop, tmp_path, *(workshop.job(dataset, **body) for _ in range(2)))
    assert together == pytest.approx(expected, rel=1e-4)


def learned(workshop: Workshop, folder: Path, shared: Job, alone: Job) -> tuple[Losses, Losses]:
    """The losses of a job that two processes share, and of one that has one."""
    _, process = begin(workshop, shared, folder, devices=2, ROOTSTOCK_DEVICE="cpu")
    try:
        assert process.wait(PATIENCE) == DONE
    finally:
        kill(process)
    workshop.train(alone)
    assert workshop.look(shared).status == "succeeded"
    return losses(workshop, shared), losses(workshop, alone)


def test_two_processes_hear_cancel(workshop: Workshop, tmp_path: Path) -> None:
    training = BODY["training"] | {"epochs": 1000}  # on no machine is it over before
    job = workshop.job(workshop.dataset(blobs(labels=False)), **BODY | {"training": training})
    token, process = begin(workshop, job, tmp_path, devices=2, ROOTSTOCK_DEVICE="cpu")
    try:
        wait_for_steps(workshop, job, process)
        with workshop.database.session() as session:
            jobs.ask(session, workshop.project_id, job.id, "cancel")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == LEFT
    finally:
        kill(process)
    with workshop.database.session() as session:
        assert leases.leave(session, job.id, token) == "cancelled"
