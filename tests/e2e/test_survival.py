"""A training that is interrupted in every way ends with the weights of one that was left alone."""

import io
import os
import signal
import tarfile
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.server import Server, vectors

TAKE_BACK_SECONDS = 60
"""What the service promises, with its own defaults."""


def request(dataset: str, name: str) -> dict[str, Any]:
    return {
        "kind": "pretrain",
        "name": name,
        "dataset": dataset,
        "encoder": {"name": "mlp", "widths": [64, 32], "dimensions": 4, "dropout": 0.1},
        "objective": {"name": "denoising"},
        "training": {"epochs": 100, "batch_size": 32, "early_stopping": None, "checkpoint_seconds": 0.5},
    }


def weights(server: Server, model: str) -> bytes:
    """The published weights, from the artifact that anybody may download."""
    archive = server.client.get(f"/models/{model}/artifact").raise_for_status().content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = [name for name in tar.getnames() if name.endswith("weights.safetensors")]
        content = tar.extractfile(member)
        assert content is not None
        return content.read()


def events(server: Server, job_id: str) -> list[str]:
    return [event["type"] for event in server.get(f"/jobs/{job_id}/events?limit=1000")["data"]]


def at_step(server: Server, job_id: str, step: int, attempt: int) -> None:
    server.wait_for_job(
        job_id,
        lambda job: job["attempt"] == attempt and job["status"] == "running" and job["progress"].get("step", 0) > step,
    )


def test_whatever_is_killed_the_weights_are_the_same(start: Callable[[], Server]) -> None:
    server = start()
    dataset = vectors(server)
    undisturbed = cancelled_and_retried(server, request(dataset, "undisturbed"))
    total = server.wait_for_job(undisturbed, lambda job: job["status"] == "succeeded")["progress"]["max_steps"]

    disturbed = server.post("/jobs", request(dataset, "disturbed"))["id"]
    at_step(server, disturbed, total // 8, attempt=1)
    for process in server.children("worker.processes.process"):  # the one that trains, and the spare
        os.kill(process, signal.SIGKILL)
    at_step(server, disturbed, total // 4, attempt=2)
    (worker,) = server.children("-Q train")
    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    server.wait_for_job(disturbed, lambda job: job["attempt"] == 3 and job["status"] == "running")
    assert time.monotonic() - killed < TAKE_BACK_SECONDS
    at_step(server, disturbed, total // 2, attempt=3)
    server.stop()  # in mid-training: handed back

    server = start()
    job = server.wait_for_job(disturbed, lambda job: job["terminal"])
    assert (job["status"], job["attempt"]) == ("succeeded", 3)
    assert weights(server, "disturbed") == weights(server, "undisturbed")
    told = events(server, disturbed)
    assert (told.count("job.lost"), told.count("job.handed_back")) == (2, 1)
    assert sorted(model["id"] for model in server.get("/models")["data"]) == ["disturbed", "undisturbed"]


def cancelled_and_retried(server: Server, body: dict[str, Any]) -> str:
    """The id of a job that begins anew what another one was cancelled in, which left no model."""
    job_id = server.post("/jobs", body)["id"]
    at_step(server, job_id, 20, attempt=1)
    server.post(f"/jobs/{job_id}/cancel", {})
    server.wait_for_job(job_id, lambda job: job["status"] == "cancelled")
    assert server.get("/models")["data"] == []
    again = server.post(f"/jobs/{job_id}/retry", {})
    assert (again["retry_of"], again["id"] != job_id) == (job_id, True)
    return str(again["id"])
