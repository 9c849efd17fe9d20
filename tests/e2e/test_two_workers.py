"""Two training workers on one home and one queue: every job is done once, and that of a killed worker by the other."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server, descendants, vectors
from tests.e2e.test_survival import at_step, events, request


@pytest.fixture
def server(start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("ROOTSTOCK_LEASE_SECONDS", "5")
    return start()


@pytest.fixture
def second(server: Server, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Another worker, as an operator starts it: with the home and the broker of the server."""
    configuration = (server.home / "valkey" / "valkey.conf").read_text()
    said = {word: re.search(rf"^{word} (\S+)", configuration, re.MULTILINE) for word in ("port", "requirepass")}
    assert said["port"] is not None
    assert said["requirepass"] is not None
    broker = f"redis://:{said['requirepass'][1]}@127.0.0.1:{said['port'][1]}/0"
    environment = {**os.environ, "ROOTSTOCK_HOME": str(server.home), "ROOTSTOCK_BROKER_URL": broker}
    log = tmp_path / "second.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "worker", "train"],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server.wait(lambda: " ready." in log.read_text())
        yield process
    finally:
        process.kill()
        process.wait()


def worker_of(server: Server, job_id: str) -> int:
    """Process id of the worker that took the job last."""
    told = server.get(f"/jobs/{job_id}/events?limit=1000")["data"]
    taken = [event["message"] for event in told if event["type"] == "job.running"]
    return int(taken[-1].rpartition(":")[2])


def test_each_job_is_done_once_and_that_of_a_killed_worker_by_the_other(
    server: Server, second: "subprocess.Popen[bytes]"
) -> None:
    dataset = vectors(server)
    bodies = [request(dataset, f"model-{number}") for number in range(2)]
    for body in bodies:
        body["training"]["epochs"] = 50
    jobs = [server.post("/jobs", bodies[0])["id"]]
    at_step(server, jobs[0], 20, attempt=1)
    jobs.append(server.post("/jobs", bodies[1])["id"])
    server.wait_for_job(jobs[1], lambda job: job["status"] == "running")  # the worker that is free has it at once
    workers = [worker_of(server, job) for job in jobs]
    of_second = {second.pid, *descendants(second.pid)}
    assert len(set(workers)) == 2
    (place,) = [place for place, worker in enumerate(workers) if worker in of_second]
    lost, kept = jobs[place], jobs[1 - place]
    at_step(server, lost, 20, attempt=1)
    os.kill(workers[place], signal.SIGKILL)

    for job, attempt in ((kept, 1), (lost, 2)):
        ended = server.wait_for_job(job, lambda job: job["terminal"])
        assert (ended["status"], ended["attempt"]) == ("succeeded", attempt)
        told = events(server, job)
        assert (told.count("job.running"), told.count("job.succeeded")) == (attempt, 1)
    assert worker_of(server, lost) == workers[1 - place]
    assert sorted(model["id"] for model in server.get("/models")["data"]) == ["model-0", "model-1"]
    for number in range(2):
        assert len(server.get(f"/models/model-{number}/versions")["data"]) == 1
