"""A load: so many connections, each of which asks again as soon as it is answered. Imports little, to start soon.

    python benchmarks/closed_loop.py PORT CONNECTIONS SECONDS [obey] < REQUEST

Prints JSON: requests per second and latencies in milliseconds of the answers with status 200, and `refused_…` of those
with 429. Any other status ends it. Whoever is refused asks again at once, or with `obey` once `Retry-After` is over.
"""

import asyncio
import json
import sys
import time
from typing import Any

import numpy as np
import uvloop

CONNECTING = 256
"""Connections that are opened at once."""


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """The answer's body."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    body = await reader.readexactly(int(length.split(b":")[1]))
    if b" 200 " not in head[:16]:
        raise RuntimeError((head + body).decode())
    return body


class Connection(asyncio.Protocol):
    """Asks until it is told to stop; notes how long each answer took, by its status."""

    def __init__(
        self, request: bytes, latencies: dict[int, list[float]], ended: "asyncio.Future[None]", obey: bool
    ) -> None:
        self.request, self.latencies, self.ended, self.obey = request, latencies, ended, obey
        self.until, self.missing, self.held = 0.0, 0, b""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.loop = transport, self.ended.get_loop()

    def begin(self, until: float) -> None:
        self.until = until
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.held += data
            head, complete, rest = self.held.partition(b"\r\n\r\n")
            if not complete:
                return
            self.status, self.held = int(head[9:12]), b""
            self.missing = number(head, b"content-length: ") - len(rest)
            self.pause = number(head, b"retry-after: ") if self.obey and self.status == 429 else 0
        if self.missing == 0:
            self.answered()

    def answered(self) -> None:
        now = time.perf_counter()
        self.latencies.setdefault(self.status, []).append(now - self.began)
        if now + self.pause < self.until:
            self.loop.call_later(self.pause, self.ask) if self.pause else self.ask()
        elif not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server closed a connection"))


def number(head: bytes, name: bytes) -> int:
    """The value of a header that is a number."""
    at = head.lower().index(name) + len(name)
    return int(head[at : (head + b"\r").index(b"\r", at)])


async def load(port: int, request: bytes, connections: int, seconds: float, obey: bool) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    latencies: dict[int, list[float]] = {}
    opened: list[Connection] = []
    while len(opened) < connections:
        some = min(CONNECTING, connections - len(opened))
        made = (
            loop.create_connection(
                lambda: Connection(request, latencies, loop.create_future(), obey), "127.0.0.1", port
            )
            for _ in range(some)
        )
        opened += [connection for _, connection in await asyncio.gather(*made)]
    began = time.perf_counter()
    for connection in opened:
        connection.begin(began + seconds)
    await asyncio.gather(*(connection.ended for connection in opened))
    elapsed = time.perf_counter() - began
    for connection in opened:
        connection.transport.abort()
    if set(latencies) - {200, 429}:
        raise RuntimeError(f"answers had the statuses {sorted(latencies)}")
    found = summary("", latencies.get(200, []), elapsed)
    return found | (summary("refused_", latencies[429], elapsed) if 429 in latencies else {})


def summary(prefix: str, latencies: list[float], elapsed: float) -> dict[str, float]:
    p50, p95, p99 = np.quantile(latencies or [0.0], [0.5, 0.95, 0.99]) * 1e3
    rate = len(latencies) / elapsed
    figures = {"requests_per_second": rate, "p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}
    return {prefix + name: value for name, value in figures.items()}


if __name__ == "__main__":
    port, connections, seconds, *rest = sys.argv[1:]
    found = uvloop.run(load(int(port), sys.stdin.buffer.read(), int(connections), float(seconds), rest == ["obey"]))
    print(json.dumps(found))
