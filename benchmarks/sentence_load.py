"""A load of sentences: each connection asks for others as soon as it is answered. Imports little, to start soon.

    python benchmarks/sentence_load.py SERVER PORT KEY CASE SECONDS [MODEL FILE]

FILE holds the sentences as a JSON list; without one they are drawn from a few words.
Prints JSON: requests per second and latencies in milliseconds of the first kind of client that a case has.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import uvloop
from closed_loop import ask

CASES = {"one": [(1, 16)], "many": [(32, 16)], "few": [(1, 12)], "mixed": [(1, 12), (32, 4)]}
"""Sentences per request and connections of each kind of client; the first kind is measured."""
WORDS = (
    "the a of and to in is that it was for on are with as his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after words called just where most know get through back "
    "garden invoice train payment weather station database protein river concert election battery flight museum"
)


def sentences(count: int, seed: int) -> list[str]:
    draw, words = np.random.default_rng(seed), WORDS.split()
    return [" ".join(draw.choice(words, draw.integers(4, 41))) for _ in range(count)]


def messages(
    server: str, key: str, size: int, seed: int, model: str = "minilm", given: Sequence[str] = ()
) -> list[bytes]:
    """Requests of `size` sentences each, as bytes; of those `given`, where there are such."""
    path = "/embeddings" if server == "infinity" else "/v1/embeddings"
    made = []
    whole = [str(each) for each in np.random.default_rng(seed).permutation(given)[: 64 * size]]
    whole = whole or sentences(64 * size, seed)
    for first in range(0, len(whole), size):
        texts = whole[first : first + size]
        asked = {"model": model, "input": texts[0] if size == 1 else texts, "encoding_format": "float"}
        body = json.dumps(asked).encode()
        headers = f"host: 127.0.0.1\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        made.append(f"POST {path} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)
    return made


async def load(
    server: str, port: int, key: str, case: str, seconds: float, model: str, given: list[str]
) -> dict[str, float]:
    """Requests per second and latencies in milliseconds of the first kind of client."""
    until = time.perf_counter() + seconds
    latencies: list[list[float]] = [[] for _ in CASES[case]]

    async def connection(kind: int, number: int, requests: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        for request in itertools.islice(itertools.cycle(requests), number, None):
            began = time.perf_counter()
            if began >= until:
                break
            await ask(reader, writer, request)
            latencies[kind].append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    waits = []
    for kind, (size, connections) in enumerate(CASES[case]):
        requests = messages(server, key, size, kind, model, given)
        waits += [connection(kind, 4 * number, requests) for number in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*waits)
    elapsed = time.perf_counter() - began
    p50, p95, p99 = np.quantile(latencies[0], [0.5, 0.95, 0.99]) * 1e3
    rate = sum(size * len(found) for (size, _), found in zip(CASES[case], latencies, strict=True)) / elapsed
    answered = len(latencies[0]) / elapsed
    quantiles = {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}
    return {"requests_per_second": answered, "sentences_per_second": rate, **quantiles}


if __name__ == "__main__":
    server, port, key, case, seconds, *more = sys.argv[1:]
    model, given = (more[0], json.loads(Path(more[1]).read_text())) if more else ("minilm", [])
    print(json.dumps(uvloop.run(load(server, int(port), key, case, float(seconds), model, given))))
