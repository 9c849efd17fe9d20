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
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from side_by_side import KEYS, alternating, answering, environment, memory, middle, once, running, times, versions

from app.demo.service import Client, started

WIDTH, CODE = 784, 8
WARM_SECONDS = 0.7
CASES = [(1, 16), (32, 16), (1, 128), (32, 128)]
"""Vectors per request, connections."""
PEERS = {"fastapi": "/v1/embeddings", "litserve": "/predict", "bentoml": "/embed", "mlflow": "/invocations"}
ALL = ["rootstock", "raw", *PEERS, "echo", "raw echo"]
PACKAGES = ("litserve", "bentoml", "mlflow")
SCRIPT = Path(__file__).parent / "peers" / "serving_peers.py"


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
    requests = {name: message(name, key, vectors) for name in ports}
    rounds = alternating(
        ports,
        lambda name, seconds: measure(ports[name], requests[name], connections, seconds),
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm=WARM_SECONDS,
    )
    for name, parts in rounds.items():
        rate, *quantiles = middle(parts, *KEYS)
        shown = "  ".join(f"{value:7.2f}" for value in quantiles)
        ratio = times(rounds, "rootstock", name)
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
    torch_too = (f"torch=={torch.__version__.partition('+')[0]}", "safetensors", *PACKAGES)
    python = environment("serving-peers", torch_too) if set(wanted) & set(PACKAGES) else None
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
                log = folder / f"{name}.log"
                program = [chosen, SCRIPT, name.removeprefix("raw "), folder, ports[name]]
                peer = stack.enter_context(running(program, log, OMP_NUM_THREADS="1"))
                answering(peer, log, ports[name], message(name, key, 1))
                processes[name] = peer.pid
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
