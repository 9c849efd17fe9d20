"""Embeddings per second over HTTP: Rootstock beside hand-written FastAPI, LitServe, BentoML, MLflow and a bare echo.

All serve the reference autoencoder (784-128-64-32-16-8) with the same weights on loopback, one process and one torch
thread each; Rootstock also checks the key and every answer. The load is a closed loop in a process of its own, in
rounds that alternate between the servers; what is printed are medians. `raw` is Rootstock with float32 bodies, `echo`
and `raw echo` a bare ASGI application that reads and answers as many bytes. The peers are installed into a cache of
this script's own (XDG_CACHE_HOME); those that cannot be are left out, with a message.

    .venv/bin/python benchmarks/serving.py [--seconds 2] [--rounds 5] [--servers rootstock raw fastapi …]
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from closed_loop import ask

from app.demo.service import Client, started

WIDTH, CODE = 784, 8
WARM_SECONDS = 0.7
START_SECONDS, STOP_SECONDS = 90.0, 10.0
CASES = [(1, 16), (32, 16), (1, 128), (32, 128)]
"""Vectors per request, connections."""
PEERS = {"fastapi": "/v1/embeddings", "litserve": "/predict", "bentoml": "/embed", "mlflow": "/invocations"}
ALL = ["rootstock", "raw", *PEERS, "echo", "raw echo"]
PACKAGES = ("litserve", "bentoml", "mlflow")
KEYS = ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")


def message(server: str, key: str, vectors: int) -> bytes:
    """One request, as bytes."""
    rows = np.random.default_rng(0).random((vectors, WIDTH)).round(4)
    path, headers = PEERS.get(server, "/v1/embeddings"), {"host": "127.0.0.1", "content-type": "application/json"}
    body = json.dumps({"model": "reference", "input": rows.tolist() if vectors > 1 else rows[0].tolist()}).encode()
    if server == "mlflow":
        body = json.dumps({"inputs": rows.tolist()}).encode()
    elif server in PEERS:
        named = {"model": "reference"} if server == "fastapi" else {}
        body = json.dumps({**named, "input": rows.tolist()}).encode()
    elif server.startswith("raw"):
        path, body = "/v1/embeddings?model=reference", rows.astype("<f4").tobytes()
        headers |= {"content-type": "application/octet-stream", "accept": "application/octet-stream"}
    if server in ("rootstock", "raw"):
        headers["authorization"] = f"Bearer {key}"
    if server.endswith("echo"):
        headers["x-answer"] = str(4 * CODE * vectors if server == "raw echo" else 150 * vectors)
    headers["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def measure(port: int, request: bytes, connections: int, seconds: float, *how: str) -> dict[str, float]:
    """One round, in a process of its own."""
    command = [sys.executable, str(Path(__file__).parent / "closed_loop.py"), str(port), str(connections), str(seconds)]
    command += how
    done = subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def peers() -> Path | None:
    """The Python that has the peers, installed on first use; None when they cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = cache / "rootstock" / "benchmarks" / "serving-peers" / "bin" / "python"
    complete = python.parents[1] / "complete"
    if complete.exists():
        return python
    print("installing the peers, which takes minutes", flush=True)
    wanted = [f"torch=={torch.__version__.partition('+')[0]}", "safetensors", *PACKAGES]
    make = [
        [sys.executable, "-m", "venv", "--clear", str(python.parents[1])],
        [str(python), "-m", "pip", "-q", "install"],
    ]
    for command in (make[0], [*make[1], *wanted]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(f"the peers cannot be installed and are left out: {done.stdout.strip().splitlines()[-1]}")
            return None
    complete.touch()
    return python


def versions(python: Path, packages: tuple[str, ...]) -> str:
    code = f"from importlib.metadata import version as v; print(*[f'{{p}} {{v(p)}}' for p in {packages!r}], sep=', ')"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def serving(name: str, python: Path, folder: Path, port: int, request: bytes) -> Iterator[int]:
    """The first process of a running peer that has answered once."""
    program = [
        str(python),
        str(Path(__file__).parent / "peers" / "serving_peers.py"),
        name.removeprefix("raw "),
        str(folder),
    ]
    with (folder / f"{name}.log").open("wb") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*program, str(port)], stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                asyncio.run(once(port, request))
                break
            except (OSError, asyncio.IncompleteReadError):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(
                        f"{name} does not start: {(folder / f'{name}.log').read_text()[-2000:]}"
                    ) from None
                time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()  # BentoML's workers have process groups of their own: it must end them itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def once(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask(reader, writer, request)
    finally:
        writer.close()


def is_api(process: Path, port: int) -> bool:
    """Whether a process, by its folder in /proc, is the API that listens on a port, and not one of another service."""
    if b"app.cli\0api" not in (process / "cmdline").read_bytes():
        return False
    return f"ROOTSTOCK_PORT={port}".encode() in (process / "environ").read_bytes().split(b"\0")


def lineage(process: int) -> Iterator[int]:
    """The process, its parent, and so on."""
    while process > 1:
        yield process
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def memory(port: int, first: int | None, kind: str = "Pss") -> float:
    """MiB of a process and all below it (their shared pages shared out), or of the API that listens on a port."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_api(entry, port) if first is None else first in lineage(int(entry.name)):
                rollup = (entry / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in rollup if line.startswith(f"{kind}:"))
    return total / 1024


def unpack(client: Client, folder: Path) -> None:
    archive = client.http.get("/v1/models/reference/artifact").raise_for_status().content
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    for path in list(folder.rglob("*.*")):
        if path.is_file():
            path.rename(folder / path.name)


def train(client: Client) -> None:
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).random((500, WIDTH), dtype=np.float32))
    files = {"file": ("vectors.npy", content.getvalue())}
    file = client.call("POST", "/v1/files", files=files, data={"purpose": "pretrain"})
    body = {"name": "vectors", "files": [file["id"]], "modality": "vectors"}
    dataset = client.call("POST", "/v1/datasets", json=body)
    request = {
        "kind": "pretrain",
        "name": "reference",
        "dataset": dataset["id"],
        "encoder": {"name": "mlp", "preset": "reference", "dimensions": CODE},
        "training": {"epochs": 2},
    }
    client.train("train", request)


def compare(ports: dict[str, int], key: str, vectors: int, connections: int, arguments: argparse.Namespace) -> None:
    """Alternating rounds of one case; prints a row per server."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
    requests = {name: message(name, key, vectors) for name in ports}
    for name, port in ports.items():
        measure(port, requests[name], connections, WARM_SECONDS)
    for _ in range(arguments.rounds):
        for name, port in ports.items():
            rounds[name].append(measure(port, requests[name], connections, arguments.seconds))
    base = [part["requests_per_second"] for part in rounds["rootstock"]]
    for name, parts in rounds.items():
        ratios = [mine / part["requests_per_second"] for mine, part in zip(base, parts, strict=True)]
        rate, *quantiles = (statistics.median(part[key] for part in parts) for key in KEYS)
        shown = "  ".join(f"{value:7.2f}" for value in quantiles)
        ratio = statistics.median(ratios)
        print(f"{vectors:7}  {connections:11}  {name:9}  {rate:10.0f}  {shown}  {ratio:8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--servers", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--cases", nargs="+", default=CASES, type=case, metavar="VECTORSxCONNECTIONS")
    run(parser.parse_args())


def case(text: str) -> tuple[int, int]:
    vectors, connections = text.split("x")
    return int(vectors), int(connections)


def run(arguments: argparse.Namespace) -> None:
    own = Path(sys.executable)
    wanted = [name for name in arguments.servers if name not in ("rootstock", "raw")]
    python = peers() if set(wanted) & set(PACKAGES) else None
    print(versions(own, ("rootstock", "torch", "fastapi", "uvicorn", "pydantic")))
    if python is not None:
        print(versions(python, (*PACKAGES, "torch")))
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(started())
        train(client)
        port, key = client.http.base_url.port or 80, client.sdk.api_key
        ports, processes = {"rootstock": port, "raw": port}, {}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        unpack(client, folder)
        for place, name in enumerate(wanted):
            chosen = python if name in PACKAGES else own
            if chosen is not None:
                ports[name] = 18080 + place
                started_peer = serving(name, chosen, folder, ports[name], message(name, key, 1))
                processes[name] = stack.enter_context(started_peer)
        check(ports, key)
        print("\nvectors  connections  server     requests/s   p50 ms   p95 ms   p99 ms  rootstock is … times as fast")
        for vectors, connections in arguments.cases:
            compare(ports, key, vectors, connections, arguments)
        print(
            "\nMiB after that: " + ", ".join(f"{name} {memory(ports[name], processes.get(name)):.0f}" for name in ports)
        )


def check(ports: dict[str, int], key: str) -> None:
    """Every server gives the same embedding."""
    for vectors in (1, 32):
        answers = {name: asyncio.run(once(port, message(name, key, vectors))) for name, port in ports.items()}
        wanted = np.frombuffer(answers["raw"], "<f4").reshape(vectors, CODE)
        for name in (name for name in ports if not name.startswith("raw") and name != "echo"):
            np.testing.assert_allclose(rows_in(json.loads(answers[name])), wanted, atol=1e-4, err_msg=name)


def rows_in(answer: Any) -> Any:
    """The embeddings in any server's JSON."""
    if isinstance(answer, list):
        return answer
    if "data" in answer:
        return [item["embedding"] for item in answer["data"]]
    return answer.get("embeddings") or answer["predictions"]


if __name__ == "__main__":
    main()
