"""What serving gains by a second process, and what it loses to a training on the same machine.

    .venv/bin/python benchmarks/neighbours.py workers [--workers 2 --vectors 32 --seconds 3 --rounds 3]
    .venv/bin/python benchmarks/neighbours.py training [--seconds 3 --rounds 3 --connections 1 4]

`workers` loads `rootstock api` with one process and with several, in rounds that alternate. `training` asks for one
vector a request while nothing else runs and while a training does, in turns. The load generator shares the cores of
the machine with all of them: on few cores both figures are worse than a client from elsewhere would see.
"""

import argparse
import contextlib
import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from serving import WIDTH, measure, message, train
from side_by_side import KEYS

from app.demo.service import Client, started

WARM_SECONDS = 1.0
START_SECONDS = 60.0
TRAINED_ROWS = 20_000


@contextlib.contextmanager
def api(workers: int, port: int, environment: dict[str, str]) -> Iterator[None]:
    """`rootstock api` with so many processes, ready."""
    command = [sys.executable, "-m", "app.cli", "api", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/livez").is_success:
                    break
            if time.monotonic() > until:
                raise RuntimeError(f"the API with {workers} workers does not start")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def gain(arguments: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        places = {"database_url": f"sqlite:///{folder / 'registry.db'}", "storage_url": f"file://{folder / 'storage'}"}
        client = stack.enter_context(started(**places))
        train(client)
        environment = {f"ROOTSTOCK_{name.upper()}": value for name, value in places.items()}
        ports = {workers: free_port() for workers in (1, arguments.workers)}
        for workers, port in ports.items():
            stack.enter_context(api(workers, port, {**environment, "ROOTSTOCK_HOME": str(folder / f"{workers}")}))
        request = message("rootstock", client.sdk.api_key, arguments.vectors)
        rounds: dict[int, list[dict[str, float]]] = {workers: [] for workers in ports}
        for port in ports.values():
            for _ in range(2):
                measure(port, request, arguments.connections[-1], WARM_SECONDS)
        for _ in range(arguments.rounds):
            for workers, port in ports.items():
                rounds[workers].append(measure(port, request, arguments.connections[-1], arguments.seconds))
        print(f"{arguments.vectors} vectors a request, {arguments.connections[-1]} connections, {os.cpu_count()} cores")
        show("processes", rounds)
        one, many = (parts for parts in rounds.values())
        ratios = [b[KEYS[0]] / a[KEYS[0]] for a, b in zip(one, many, strict=True)]
        print(f"{arguments.workers} processes answer {statistics.median(ratios):.2f} times as many as one")


def beside(arguments: argparse.Namespace) -> None:
    with started() as client:
        train(client)
        port = client.http.base_url.port or 80
        request = message("rootstock", client.sdk.api_key, 1)
        body = long_training(client)
        for connections in arguments.connections:
            measure(port, request, connections, WARM_SECONDS)
        rounds: dict[str, list[dict[str, float]]] = {}
        for _ in range(arguments.rounds):
            for connections in arguments.connections:
                found = measure(port, request, connections, arguments.seconds)
                rounds.setdefault(f"{connections:3} idle", []).append(found)
            with training(client, body):
                for connections in arguments.connections:
                    found = measure(port, request, connections, arguments.seconds)
                    rounds.setdefault(f"{connections:3} beside", []).append(found)
        show("connections", rounds)
        for connections in arguments.connections:
            quiet, loud = (
                statistics.median(part["p99_ms"] for part in rounds[f"{connections:3} {when}"])
                for when in ("idle", "beside")
            )
            print(
                f"{connections} connections: p99 beside a training is {loud / quiet:.2f} times that of an idle machine"
            )


def long_training(client: Client) -> dict[str, Any]:
    """A request for a training that would take hours."""
    content = io.BytesIO()
    np.save(content, np.random.default_rng(1).random((TRAINED_ROWS, WIDTH), dtype=np.float32))
    dataset = client.dataset("rows.npy", content.getvalue(), {"name": "rows", "modality": "vectors"})
    return {
        "kind": "pretrain",
        "name": "beside",
        "dataset": dataset,
        "encoder": {"name": "mlp", "preset": "reference", "dimensions": 8},
        "training": {"epochs": 10_000, "early_stopping": None},
    }


@contextlib.contextmanager
def training(client: Client, body: dict[str, Any]) -> Iterator[None]:
    """While a job runs and has made its first steps."""
    job = client.call("POST", "/v1/jobs", json=body)
    while not job["progress"].get("step"):
        time.sleep(0.2)
        job = client.call("GET", f"/v1/jobs/{job['id']}")
        assert not job["terminal"], job["error"]
    yield
    rate = client.call("GET", f"/v1/jobs/{job['id']}")["progress"]["samples_per_second"]
    print(f"meanwhile the training went through {rate} rows a second", flush=True)
    client.call("POST", f"/v1/jobs/{job['id']}/cancel")
    while not client.call("GET", f"/v1/jobs/{job['id']}")["terminal"]:
        time.sleep(0.2)
    time.sleep(2)  # the process that is kept for the next job has started by then


def show(what: str, rounds: Any) -> None:
    print(f"{what:12}  requests/s   p50 ms   p95 ms   p99 ms")
    for name, parts in rounds.items():
        values = [statistics.median(part[key] for part in parts) for key in KEYS]
        print(f"{name!s:12}  {values[0]:10.0f}  " + "  ".join(f"{value:7.2f}" for value in values[1:]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("workers", gain), ("training", beside)):
        command: Any = commands.add_parser(name)
        command.add_argument("--seconds", type=float, default=3.0, help="length of a round")
        command.add_argument("--rounds", type=int, default=3)
        command.add_argument("--connections", type=int, nargs="+", default=[16] if run is gain else [1, 4])
        command.set_defaults(run=run)
        if run is gain:
            command.add_argument("--workers", type=int, default=2)
            command.add_argument("--vectors", type=int, default=32)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
