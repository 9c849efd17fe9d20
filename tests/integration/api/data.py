"""Datasets for the API's tests, made by the routes and the worker's own ingest."""

import io
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.registry import leases
from tests.integration.api.conftest import Garden
from worker.ingest import run as ingest
from worker.progress import Reporter

ROWS = 60


def npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **arrays)
    return held.getvalue()


def vectors(width: int = 4) -> bytes:
    values = np.random.default_rng(0).normal(size=(ROWS, width)).astype(np.float32)
    return npz({"features": values, "labels": np.array([f"c{row % 3}" for row in range(ROWS)])})


def pictures() -> bytes:
    return npz({"images": np.random.default_rng(0).integers(0, 256, size=(ROWS, 5, 6), dtype=np.uint8)})


def post_dataset(garden: Garden, content: bytes, **fields: str) -> dict[str, Any]:
    files = {"file": ("rows.npz", content)}
    answer = garden.client.post("/v1/datasets", files=files, data={"name": "rows", **fields})
    assert answer.status_code == 202, answer.text
    made: dict[str, Any] = answer.json()
    return made


def make_ready(garden: Garden, content: bytes) -> str:
    """The id of a dataset that the worker has looked at."""
    made = post_dataset(garden, content)
    run_ingest(garden, made["job"])
    return str(made["id"])


def run_ingest(garden: Garden, job_id: str) -> None:
    with garden.database.session() as session:
        claim = leases.claim(session, job_id, "test", 600)
    assert claim is not None
    here = garden.house.services
    reporter = Reporter(here.settings, here.database, here.storage, job_id, claim.token, threading.Event())
    ingest.run(reporter)
