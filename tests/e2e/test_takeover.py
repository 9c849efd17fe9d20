"""Versions and aliases that take over while clients ask: real processes, and not one failed request."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import openai

from tests.e2e.server import Server, vectors

ROWS = np.random.default_rng(3).random((8, 16), dtype=np.float32)
WIDTHS = {1: 3, 2: 5}
MOVES = 4
PAUSE_SECONDS = 0.05
"""Of everybody who asks, between two questions: dozens fall into every move."""

Asked = tuple[str, Any]
"""Who answered, and the vectors."""


def by_sdk(server: Server, stop: threading.Event, found: list[Asked]) -> None:
    options: Any = {"base_url": str(server.client.base_url), "api_key": server.key(), "max_retries": 0}
    with openai.OpenAI(**options) as client:
        while not stop.wait(PAUSE_SECONDS):
            answer = client.embeddings.create(model="rows", input=ROWS[0].tolist())
            found.append((answer.model, [item.embedding for item in answer.data]))


def by_numbers(server: Server, stop: threading.Event, found: list[Asked]) -> None:
    with httpx.Client(base_url=server.client.base_url, headers=server.client.headers, timeout=60) as client:
        client.headers.update({"content-type": "application/octet-stream", "accept": "application/octet-stream"})
        while not stop.wait(PAUSE_SECONDS):
            answer = client.post("/embeddings?model=rows@live", content=ROWS.tobytes()).raise_for_status()
            shape = [int(size) for size in answer.headers["x-shape"].split(",")]
            found.append((answer.headers["x-model"], np.frombuffer(answer.content, "<f4").reshape(shape)))


def by_json(server: Server, stop: threading.Event, found: list[Asked]) -> None:
    with httpx.Client(base_url=server.client.base_url, headers=server.client.headers, timeout=60) as client:
        while not stop.wait(PAUSE_SECONDS):
            body = {"model": "rows@live", "input": ROWS.tolist()}
            answer = client.post("/embeddings", json=body).raise_for_status().json()
            found.append((answer["model"], [item["embedding"] for item in answer["data"]]))


def test_what_takes_over_fails_no_request(start: Callable[[], Server]) -> None:
    server = start()
    dataset = vectors(server)
    for number, width in WIDTHS.items():
        body = {"kind": "pretrain", "name": "rows", "dataset": dataset, "objective": {"name": "pca"}}
        job = server.post("/jobs", {**body, "encoder": {"name": "auto", "dimensions": width}})
        assert server.wait_for_job(job["id"], lambda job: job["terminal"])["model"] == f"rows:{number}"
    archive = server.client.get("/models/rows:1/artifact").raise_for_status().content

    def point(alias: str, version: int) -> None:
        server.client.put(f"/models/rows/aliases/{alias}", json={"version": version}).raise_for_status()

    def until_seen(version: int) -> None:
        """By everybody who asks."""
        server.wait(lambda: all(found and found[-1][0] == f"rows:{version}" for found in told) or bool(failures))

    def asking(how: Callable[..., None], found: list[Asked]) -> None:
        try:
            how(server, stop, found)
        except Exception as error:
            failures.append(error)

    point("live", 1)
    stop, failures = threading.Event(), list[Exception]()
    told: list[list[Asked]] = [[], [], []]
    crowd = [
        threading.Thread(target=asking, args=(how, found))
        for how, found in zip((by_sdk, by_numbers, by_json), told, strict=True)
    ]
    for thread in crowd:
        thread.start()
    try:
        for move in range(MOVES):
            version = 2 - move % 2
            for alias in ("default", "live"):
                point(alias, version)
            until_seen(version)
        for version in (3, 4):
            form: Any = {"file": ("rows.tar", archive, "application/x-tar")}
            fields = {"name": "rows", "publish": '{"alias": "live"}'}
            job = server.client.post("/models/import", data=fields, files=form).raise_for_status().json()
            assert server.wait_for_job(job["id"], lambda job: job["terminal"])["model"] == f"rows:{version}"
            point("default", version)
            until_seen(version)
        server.client.delete("/models/rows:3").raise_for_status()
    finally:
        stop.set()
        for thread in crowd:
            thread.join()
    assert failures == []
    expected = {
        f"rows:{version}": [item["embedding"] for item in server.post("/embeddings", body)["data"]]
        for version in (1, 2, 4)
        for body in [{"model": f"rows:{version}", "input": ROWS.tolist()}]
    }
    expected["rows:3"] = expected["rows:1"]
    for found in told:
        assert {model for model, _ in found} == {"rows:1", "rows:2", "rows:3", "rows:4"}
        for model, given in found:
            np.testing.assert_allclose(given, expected[model][: len(given)], rtol=1e-4, atol=1e-5)
