"""Rows per second through `embed` jobs and `/v1/batches`, beside the direct path: vectors of 784 numbers, one model.

    .venv/bin/python benchmarks/bulk.py [--rows 100000 --lines 500 --seconds 3 --rounds 3]

Direct are HTTP requests of 32 and of 256 vectors on 16 and on 4 connections, as JSON and by the binary lane (`raw`).
The job embeds a dataset of `rows` rows, into Parquet and into JSON lines; the batch has `lines` requests of 32 vectors.
Both are timed from the request that makes them to the answer that they are done, and by their own clock: between the
two stand the start of a process and the client's looking.
"""

import argparse
import io
import json
import statistics
import time
from typing import Any

import numpy as np
from serving import WIDTH, measure, message, train
from side_by_side import KEYS

from app.demo.service import Client, started

LOOK_SECONDS = 0.05
DIRECT = [("rootstock", 32, 16), ("rootstock", 256, 4), ("raw", 32, 16), ("raw", 256, 4)]


def direct(client: Client, server: str, vectors: int, connections: int, seconds: float) -> float:
    request = message(server, client.sdk.api_key, vectors)
    found = measure(client.http.base_url.port or 80, request, connections, seconds)
    return vectors * found[KEYS[0]]


def upload(client: Client, name: str, content: bytes, purpose: str) -> str:
    identity: str = client.call("POST", "/v1/files", files={"file": (name, content)}, data={"purpose": purpose})["id"]
    return identity


def ended(client: Client, path: str, done: str) -> dict[str, Any]:
    while True:
        found = client.call("GET", path)
        if found["status"] == done:
            return found
        if found["status"] in ("failed", "cancelled", "expired"):
            raise RuntimeError(found)
        time.sleep(LOOK_SECONDS)


def job(client: Client, dataset: str, form: str, rows: int) -> tuple[float, float]:
    """Rows per second, from outside and by the job's own clock."""
    began = time.perf_counter()
    body = {"kind": "embed", "model": "reference", "dataset": dataset, "format": form}
    made = client.call("POST", "/v1/jobs", json=body)
    found = ended(client, f"/v1/jobs/{made['id']}", "succeeded")
    return rows / (time.perf_counter() - began), found["progress"]["samples_per_second"]


def batch(client: Client, file: str, rows: int) -> float:
    began = time.perf_counter()
    made = client.call(
        "POST",
        "/v1/batches",
        json={"input_file_id": file, "endpoint": "/v1/embeddings", "completion_window": "24h"},
    )
    found = ended(client, f"/v1/batches/{made['id']}", "completed")
    assert found["request_counts"]["failed"] == 0, found
    return rows / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round of the direct path")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    drawn = np.random.default_rng(0)
    with started() as client:
        train(client)
        content = io.BytesIO()
        np.save(content, drawn.random((arguments.rows, WIDTH), dtype=np.float32))
        file = upload(client, "rows.npy", content.getvalue(), "pretrain")
        dataset = client.ready(
            {"name": "many", "files": [file], "modality": "vectors", "cleaning": {"duplicates": "keep"}}
        )
        lines = (
            {"custom_id": f"{line}", "method": "POST", "url": "/v1/embeddings", "body": body}
            for line in range(arguments.lines)
            for body in [{"model": "reference", "input": drawn.random((32, WIDTH)).round(4).tolist()}]
        )
        asked = upload(client, "asked.jsonl", "\n".join(map(json.dumps, lines)).encode(), "batch")
        rates: dict[str, list[float]] = {}
        for _ in range(arguments.rounds):
            for server, vectors, connections in DIRECT:
                name = f"direct, {'JSON' if server == 'rootstock' else 'raw'}, {vectors} vectors"
                rates.setdefault(name, []).append(direct(client, server, vectors, connections, arguments.seconds))
            for form in ("parquet", "jsonl"):
                outside, inside = job(client, dataset, form, arguments.rows)
                rates.setdefault(f"embed job, {form}", []).append(outside)
                rates.setdefault(f"embed job, {form}, its own clock", []).append(inside)
            rates.setdefault("batch, 32 vectors a line", []).append(batch(client, asked, 32 * arguments.lines))
    for name, found in rates.items():
        print(f"{name:36} {statistics.median(found):9,.0f} rows/s  ({', '.join(f'{rate:,.0f}' for rate in found)})")


if __name__ == "__main__":
    main()
