"""Memory and speed of the way from a file to a dataset, each beside an honest floor in the same run.

    .venv/bin/python benchmarks/ingest.py uploads [--megabytes 100 1000 4000]   memory of the API
    .venv/bin/python benchmarks/ingest.py memory [--rows 1000000 4000000]       memory of the worker, tables
    .venv/bin/python benchmarks/ingest.py rates       CSV, pictures and text beside reading them at all
    .venv/bin/python benchmarks/ingest.py large       10 million rows of 64 numbers, ingested and trained on once

What is measured in this process runs in the surroundings that the launcher gives to a job's, floors included.
Memory is sampled every 20 ms from /proc: `RSS` counts mapped files too, `anonymous` what a process holds itself.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ingest_rates import DRAWN, MB, rates, write_csv
from watch import Watch

from app.demo.service import Client, started
from worker.processes.launcher import SURROUNDINGS


def uploads(sizes: list[int]) -> None:
    print("upload of random bytes, POST /v1/files\n      MB   seconds  MB/s   API RSS before -> peak (MB)")
    with started() as client, tempfile.NamedTemporaryFile() as file:
        for size in sizes:
            file.truncate(0)
            file.seek(0)
            for _ in range(size // 10):
                file.write(DRAWN.bytes(10 * MB))
            file.flush()
            file.seek(0)
            with Watch("app.cli api", client) as watch:
                began = time.perf_counter()
                sent = client.http.post(
                    "/v1/files", files={"file": ("big.bin", file)}, data={"purpose": "pretrain"}, timeout=600
                )
                seconds = time.perf_counter() - began
            sent.raise_for_status()
            print(f"{size:>8} {seconds:>9.1f} {size / seconds:>5.0f}   {watch.begun:.0f} -> {watch.rss:.0f}")


def make(client: Client, name: str, path: Path, **options: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        sent = client.http.post(
            "/v1/datasets", files={"file": (path.name, file)}, data={"name": name, **options}, timeout=900
        )
    sent.raise_for_status()
    made: dict[str, Any] = sent.json()
    while made["status"] == "validating":
        time.sleep(0.1)
        made = client.call("GET", f"/v1/datasets/{made['id']}")
    if made["status"] != "ready":
        raise SystemExit(f"{name}: {made['error']}")
    return made


def memory(sizes: list[int]) -> None:
    print("ingest of CSV, 8 numbers and a class\n     rows  file MB  seconds   worker anonymous, RSS (MB)")
    peaks = []
    with started() as client, tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = write_csv(Path(folder, f"{rows}.csv"), rows, 8)
            began = time.perf_counter()
            with Watch("worker.processes.process", client) as watch:
                make(client, "rows", path, modality="vectors")
            seconds = time.perf_counter() - began
            peaks.append(watch.anonymous)
            print(
                f"{rows:>9} {path.stat().st_size / MB:>8.0f} {seconds:>8.1f}   {watch.anonymous:.0f}, {watch.rss:.0f}"
            )
            path.unlink()
    if len(sizes) > 1:
        slope = (peaks[-1] - peaks[0]) * MB / (sizes[-1] - sizes[0])
        print(f"growth from the first to the last: {slope:.1f} bytes a row (aim: at most 32)")


def large(rows: int) -> None:
    with started() as client, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.npy")
        values = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 64))
        for start in range(0, rows, 1 << 18):
            part = values[start : start + (1 << 18)]
            part[:] = DRAWN.random(part.shape, dtype=np.float32)
        values.flush()
        del values
        with Watch("app.cli api", client) as api, Watch("worker.processes.process", client) as worker:
            began = time.perf_counter()
            made = make(client, "large", path)
            print(
                f"{rows:,} x 64, {path.stat().st_size / MB:,.0f} MB: "
                f"uploaded and ingested in {time.perf_counter() - began:.0f} s"
            )
        print(
            f"  API peak RSS {api.rss:.0f} MB; worker peak anonymous {worker.anonymous:.0f} MB, RSS {worker.rss:.0f} MB"
        )
        path.unlink()
        request = {
            "kind": "pretrain",
            "dataset": made["id"],
            "encoder": {"name": "mlp", "preset": "nano", "dimensions": 8},
            "objective": {"name": "autoencoding"},
            "training": {"epochs": 1, "batch_size": 1024},
        }
        with Watch("worker.processes.process", client) as worker:
            began = time.perf_counter()
            job = client.train("one epoch", request)
            seconds = time.perf_counter() - began
        print(f"  one epoch {seconds:.0f} s, {job['progress']['samples_per_second']:,.0f} samples/s")
        print(f"  trainer peak anonymous {worker.anonymous:.0f} MB, RSS {worker.rss:.0f} MB")


def main() -> Iterator[None]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["uploads", "memory", "rates", "large"])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.what in (None, "rates"):
        yield rates(asked.rounds)
    if asked.what in (None, "uploads"):
        yield uploads(asked.megabytes)
    if asked.what in (None, "memory"):
        yield memory(asked.rows or [500_000, 1_000_000, 2_000_000])
    if asked.what == "large":
        yield large((asked.rows or [10_000_000])[0])


if __name__ == "__main__":
    surroundings = {**SURROUNDINGS, **os.environ}
    if surroundings != os.environ:  # the allocator reads them when a process starts
        os.execve(sys.executable, sys.orig_argv, surroundings)
    for _ in main():
        print()
