"""Whether an answer depends on who else asks: random requests alone, and again in a crowd, whose batches they share.

    .venv/bin/python benchmarks/strangers.py [--requests 10000 --connections 64]

One to eight vectors a request to the reference autoencoder, and one to four texts of one to sixty words to a small
transformer, in fp32. Printed is the largest relative difference, |crowd - alone| / |alone|, of any embedding.
"""

import argparse
import asyncio
import json
from typing import Any

import numpy as np
from closed_loop import ask
from serving import WIDTH, train

from app.demo.service import Client, started

BOUND = 1e-4
WORDS = 500


def message(key: str, model: str, items: Any) -> bytes:
    body = json.dumps({"model": model, "input": items}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def answers(port: int, requests: list[bytes], connections: int) -> list[Any]:
    """The embeddings [B, E] of every request."""
    found: list[Any] = [None] * len(requests)
    left = iter(range(len(requests)))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place in left:
            data = json.loads(await ask(reader, writer, requests[place]))["data"]
            found[place] = np.array([item["embedding"] for item in data])
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return found


def compare(client: Client, model: str, items: list[Any], connections: int) -> None:
    port = client.http.base_url.port or 80
    requests = [message(client.sdk.api_key, model, each) for each in items]
    before = batches(client)
    alone = asyncio.run(answers(port, requests, 1))
    between = batches(client)
    crowd = asyncio.run(answers(port, requests, connections))
    after = batches(client)
    differences = [np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1) for a, b in zip(alone, crowd, strict=True)]
    largest = float(np.concatenate(differences).max())
    rows = sum(map(len, items))
    print(
        f"{model}: {len(items)} requests of {rows} rows, {rows / (between - before):.1f} rows a batch alone, "
        f"{rows / (after - between):.1f} in a crowd of {connections}: largest relative difference {largest:.2g}, "
        f"{'within' if largest <= BOUND else 'BEYOND'} {BOUND:g}",
        flush=True,
    )


def batches(client: Client) -> float:
    name = "rootstock_inference_batches_total "
    lines = client.http.get("/metrics").raise_for_status().text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def train_reader(client: Client, texts: list[str]) -> None:
    content = "\n".join(["text", *texts]).encode()
    dataset = client.dataset("texts.csv", content, {"name": "texts", "modality": "text"})
    request = {
        "kind": "pretrain",
        "name": "reader",
        "dataset": dataset,
        "encoder": {"name": "transformer", "preset": "nano"},
        "objective": {"name": "masked"},
        "training": {"epochs": 1},
    }
    client.train("train", request)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    drawn = np.random.default_rng(0)

    def text() -> str:
        return " ".join(f"word{number}" for number in drawn.integers(0, WORDS, drawn.integers(1, 61)))

    with started() as client:
        train(client)
        train_reader(client, [text() for _ in range(400)])
        sizes = drawn.integers(1, 9, arguments.requests)
        compare(client, "reference", [drawn.random((size, WIDTH)).tolist() for size in sizes], arguments.connections)
        sizes = drawn.integers(1, 5, arguments.requests)
        compare(client, "reader", [[text() for _ in range(size)] for size in sizes], arguments.connections)


if __name__ == "__main__":
    main()
