"""Sentences per second over HTTP of models that were learned from texts here: Rootstock beside scikit-learn by hand.

Two models learn from glosses of WordNet without labels: the default of texts, and `tfidf_svd`. The peer is TF-IDF with
SVD of the same width, fitted to the same texts by scikit-learn, behind FastAPI. One process each on loopback; the load
is a closed loop of different sentences, 16 connections, in rounds that alternate; what is printed are medians.

    .venv/bin/python benchmarks/text_serving.py [--seconds 2] [--rounds 5] [--texts 20000]
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from labelled_texts import rows

from app.demo.service import Client, started

WIDTH, PORT = 256, 18190
CASES = {"one": "1 sentence", "many": "32 sentences"}
MODELS = {"default": {}, "tfidf": {"objective": {"name": "tfidf_svd"}}}
WARM_SECONDS, START_SECONDS = 0.7, 120.0


def peer_python() -> Path:
    """One that has scikit-learn, installed on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = cache / "rootstock" / "benchmarks" / "text-peer" / "bin" / "python"
    if not (python.parents[1] / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
        subprocess.run(
            [python, "-m", "pip", "-q", "install", "scikit-learn", "fastapi", "uvicorn[standard]"], check=True
        )
        (python.parents[1] / "complete").touch()
    return python


@contextlib.contextmanager
def peer(file: Path) -> Iterator[None]:
    """It answers within the block."""
    script = Path(__file__).parent / "peers" / "text_peer.py"
    command = [peer_python(), script, file, str(WIDTH), str(PORT)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # which it answers sooner with
    process = subprocess.Popen(command, env=one_thread, start_new_session=True)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.post(
                    f"http://127.0.0.1:{PORT}/v1/embeddings", json={"model": "", "input": "a"}
                ).raise_for_status()
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the peer does not start")
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def learn(client: Client, texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"text": text}) for text in texts).encode()
    dataset = client.dataset("texts.jsonl", lines, {"name": "glosses", "modality": "text"})
    for name, settings in MODELS.items():
        client.train(name, {"kind": "pretrain", "name": name, "dataset": dataset, **settings})


def measure(port: int, key: str, case: str, seconds: float, model: str, file: Path) -> dict[str, float]:
    """One round, in a process of its own."""
    script = Path(__file__).parent / "sentence_load.py"
    command = [sys.executable, script, "rootstock", str(port), key, case, str(seconds), model, file]
    found: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=20_000, help="to learn from and to ask with")
    arguments = parser.parse_args()
    texts = [text for _, text in rows("glosses", Path.home() / ".cache" / "rootstock-benchmarks", 0, arguments.texts)]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts))
        client = stack.enter_context(started())
        learn(client, texts)
        stack.enter_context(peer(file))
        own, key = client.http.base_url.port or 80, client.sdk.api_key
        ports = {**dict.fromkeys(MODELS, own), "scikit-learn": PORT}
        print("\nrequest       model         requests/s   p50 ms   p95 ms   p99 ms  times scikit-learn's")
        for case, what in CASES.items():
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
            for name, port in ports.items():
                measure(port, key, case, WARM_SECONDS, name, file)
            for _ in range(arguments.rounds):
                for name, port in ports.items():
                    rounds[name].append(measure(port, key, case, arguments.seconds, name, file))
            base = [part["requests_per_second"] for part in rounds["scikit-learn"]]
            for name, parts in rounds.items():
                ratio = statistics.median(
                    part["requests_per_second"] / theirs for part, theirs in zip(parts, base, strict=True)
                )
                rate, *quantiles = (
                    statistics.median(part[key] for part in parts)
                    for key in ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")
                )
                shown = "  ".join(f"{value:7.2f}" for value in quantiles)
                print(f"{what:12}  {name:12}  {rate:10.0f}  {shown}  {ratio:20.2f}", flush=True)


if __name__ == "__main__":
    main()
