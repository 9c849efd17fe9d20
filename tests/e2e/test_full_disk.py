"""A disk that is full to its last byte while a job trains and while a batch is answered: nothing is lost by it."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.server import Server, vectors
from tests.e2e.small_disk import MIB, fill, make_room, small_disk
from tests.e2e.test_survival import at_step, request, weights
from tests.servers import PATIENCE

FULL_SECONDS = 6.0
"""Longer than several heartbeats, reports and checkpoints."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with small_disk(tmp_path_factory.mktemp("small") / "disk", 48) as made:
        yield made


@pytest.fixture(scope="module")
def server(disk: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROOTSTOCK_LEASE_SECONDS", "5")  # shorter than the disk is full
        patch.setenv("ROOTSTOCK_SWEEP_SECONDS", "1")  # shorter than a lease, as they are
        made = Server(disk / "home", disk.parent / "serve.log")
    yield made
    made.client.close()
    made.process.terminate()
    made.process.wait(PATIENCE)


def keep_full(disk: Path, seconds: float) -> None:
    """Whatever is freed meanwhile is taken, too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        fill(disk)
        time.sleep(0.2)


def test_a_training_waits_for_room_and_ends_as_if_nothing_had_been(server: Server, disk: Path) -> None:
    def train(name: str) -> str:
        body = request(dataset, name)
        return str(server.post("/jobs", {**body, "training": {**body["training"], "epochs": 20}})["id"])

    dataset = vectors(server)
    undisturbed = train("undisturbed")
    total = server.wait_for_job(undisturbed, lambda job: job["status"] == "succeeded")["progress"]["max_steps"]
    row = np.zeros(16).tolist()

    disturbed = train("disturbed")
    at_step(server, disturbed, total // 8, attempt=1)
    keep_full(disk, FULL_SECONDS)
    assert server.post("/embeddings", {"model": "undisturbed", "input": row})["model"] == "undisturbed:1"
    large: Any = {"file": ("large.csv", b"1,2\n" * 300_000)}
    refused = server.client.post("/files", files=large, data={"purpose": "pretrain"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "insufficient_storage")
    ready = server.client.get(server.client.base_url.join("/readyz")).raise_for_status()
    assert ready.json()["full"] == ["home", "database", "storage"]
    job = server.get(f"/jobs/{disturbed}")
    assert (job["status"], job["attempt"], job["error"]) == ("running", 1, None)
    make_room(disk)

    job = server.wait_for_job(disturbed, lambda job: job["terminal"])
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    assert weights(server, "disturbed") == weights(server, "undisturbed")


def test_a_batch_waits_for_room_and_answers_every_line_once(server: Server, disk: Path) -> None:
    dataset = vectors(server)
    body = {"kind": "pretrain", "name": "rows", "dataset": dataset, "objective": {"name": "pca"}}
    job = server.post("/jobs", {**body, "encoder": {"name": "auto", "dimensions": 4}})["id"]
    server.wait_for_job(job, lambda job: job["status"] == "succeeded")
    rows = np.random.default_rng(0).random((4000, 16)).round(3).tolist()
    lines = [
        {"custom_id": f"{number}", "url": "/v1/embeddings", "body": {"model": "rows", "input": row}}
        for number, row in enumerate(rows)
    ]
    content = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    files: Any = {"file": ("requests.jsonl", content)}
    file = server.client.post("/files", files=files, data={"purpose": "batch"}).raise_for_status().json()["id"]
    fill(disk, leave=MIB)  # less than the answers need
    batch = server.post("/batches", {"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h"})
    server.wait(lambda: server.get(f"/batches/{batch['id']}")["request_counts"]["completed"] > 0)
    keep_full(disk, FULL_SECONDS)
    held = server.get(f"/batches/{batch['id']}")
    assert (held["status"], held["errors"]) == ("in_progress", None)
    make_room(disk)

    server.wait(lambda: server.get(f"/batches/{batch['id']}")["status"] not in ("in_progress", "validating"))
    done = server.get(f"/batches/{batch['id']}")
    assert (done["status"], done["error_file_id"]) == ("completed", None)
    answers = server.client.get(f"/files/{done['output_file_id']}/content").raise_for_status().text.splitlines()
    assert [json.loads(answer)["custom_id"] for answer in answers] == [line["custom_id"] for line in lines]
    assert server.get(f"/jobs/{batch['job']}")["attempt"] == 1
