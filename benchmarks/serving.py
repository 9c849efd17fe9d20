"""Embeddings per second over HTTP: Rootstock against a hand-written FastAPI + pydantic + torch server, same weights.

Both serve the reference autoencoder (784-128-64-32-16-8) on loopback, one process and one torch thread each, and answer
numbers in JSON. Rootstock also checks the key and every answer. The load comes from a process of its own, in rounds
that alternate; what is printed are medians and their ratio.

    .venv/bin/python benchmarks/serving.py [--seconds 3] [--rounds 5]
"""

import argparse
import asyncio
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

from app.demo.service import Client, started

WIDTH = 784
WARM_SECONDS = 1.0
CASES = [(1, 16), (32, 16), (1, 128)]
"""Vectors per request, connections."""


async def connection(host: str, port: int, request: bytes, until: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            raise RuntimeError(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        latencies.append(time.perf_counter() - began)
    writer.close()


async def load(url: str, key: str, vectors: int, connections: int, seconds: float) -> dict[str, float]:
    """Requests per second and latencies in milliseconds of a closed loop over `connections` connections."""
    items = np.random.default_rng(0).random((vectors, WIDTH)).round(4).tolist()
    body = json.dumps({"model": "reference", "input": items if vectors > 1 else items[0]}).encode()
    parsed = httpx.URL(url)
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: {parsed.host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    latencies: list[float] = []
    began = time.perf_counter()
    calls = [
        connection(parsed.host, parsed.port or 80, head.encode() + body, began + seconds, latencies)
        for _ in range(connections)
    ]
    await asyncio.gather(*calls)
    elapsed = time.perf_counter() - began
    p50, p99 = np.quantile(latencies, [0.5, 0.99]) * 1e3
    return {"requests_per_second": len(latencies) / elapsed, "p50_ms": float(p50), "p99_ms": float(p99)}


def measure(url: str, key: str, vectors: int, connections: int, seconds: float) -> dict[str, float]:
    """One round, in a process of its own."""
    asked = ["--load", url, key, str(vectors), str(connections), str(seconds)]
    done = subprocess.run([sys.executable, __file__, *asked], capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def plain(weights: Path, port: int) -> None:
    """What one would write by hand."""
    import torch
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from safetensors.torch import load_file

    torch.set_num_threads(1)
    tensors = load_file(weights)
    matrices = [tensors[name] for name in tensors if name.startswith("encoders.input.") and name.endswith("weight")]
    matrices = [*sorted(matrices, key=lambda matrix: -matrix.shape[1]), tensors["bottleneck.weight"]]
    layers: list[torch.nn.Module] = []
    for matrix in matrices:
        layers += [torch.nn.Linear(matrix.shape[1], matrix.shape[0]), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1]).eval()
    app = FastAPI()

    class Request(BaseModel):
        model: str
        input: list[float] | list[list[float]]

    @app.post("/v1/embeddings")
    def embed(request: Request) -> dict[str, object]:
        values = torch.tensor(request.input)
        with torch.inference_mode():
            codes = network(values[None] if values.ndim == 1 else values).tolist()
        data = [{"object": "embedding", "index": index, "embedding": code} for index, code in enumerate(codes)]
        return {"object": "list", "model": request.model, "data": data}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


@contextlib.contextmanager
def plain_server(client: Client) -> Iterator[str]:
    archive = client.http.get("/v1/models/reference/artifact").raise_for_status().content
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        (weights,) = Path(folder).rglob("weights.safetensors")
        port = 18080
        process = subprocess.Popen([sys.executable, __file__, "--plain", str(weights), str(port)])
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                with contextlib.suppress(httpx.TransportError):
                    httpx.get(url)
                    break
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait()


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
        "encoder": {"name": "mlp", "preset": "reference", "dimensions": 8},
        "training": {"epochs": 2},
    }
    client.train("train", request)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--load", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--plain", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plain:
        return plain(Path(arguments.plain[0]), int(arguments.plain[1]))
    if arguments.load:
        url, key, vectors, connections, seconds = arguments.load
        print(json.dumps(asyncio.run(load(url, key, int(vectors), int(connections), float(seconds)))))
        return None
    with started() as client:
        train(client)
        ours, key = str(client.http.base_url), client.sdk.api_key
        with plain_server(client) as theirs:
            print("\nvectors  connections  server      requests/s  p50 ms  p99 ms  ratio")
            for vectors, connections in CASES:
                compare(vectors, connections, {"rootstock": ours, "plain": theirs}, key, arguments)
    return None


def compare(vectors: int, connections: int, urls: dict[str, str], key: str, arguments: argparse.Namespace) -> None:
    """Alternating rounds of one case; prints a row per server."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
    for url in urls.values():
        measure(url, key, vectors, connections, WARM_SECONDS)
    for _ in range(arguments.rounds):
        for name, url in urls.items():
            rounds[name].append(measure(url, key, vectors, connections, arguments.seconds))
    rates = {name: [part["requests_per_second"] for part in parts] for name, parts in rounds.items()}
    ratio = statistics.median(mine / other for mine, other in zip(rates["rootstock"], rates["plain"], strict=True))
    for name, parts in rounds.items():
        p50, p99 = (statistics.median(part[key] for part in parts) for key in ("p50_ms", "p99_ms"))
        shown = f"{ratio:.2f}" if name == "rootstock" else "1"
        rate = statistics.median(rates[name])
        print(f"{vectors:7}  {connections:11}  {name:10}  {rate:10.0f}  {p50:6.2f}  {p99:6.2f}  {shown:>5}")


if __name__ == "__main__":
    main()
