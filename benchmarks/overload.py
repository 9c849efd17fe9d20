"""What happens when ten times as many ask as may, and whether memory grows: vectors of 784 numbers, one per request.

    .venv/bin/python benchmarks/overload.py overload [--permits 32 --times 10 --vectors 1 --seconds 3 --rounds 3]
    .venv/bin/python benchmarks/overload.py memory [--requests 200000]

`overload` loads a server that gives out `permits` with as many connections, and with `times` as many: first
such that ask again at once even when they are refused, then such that wait as long as `Retry-After` says. What the
API used of the processor per answer stands beside, since the load generator shares the machine. `memory` samples the
API's own memory while it answers and refuses: pages of libraries are left out, since the API's share of them moves by
megabytes whenever another process that uses them starts or ends. Memory grows in steps, of pages that the heap reaches
for the first time, and keeps what it has got; so the slope is the mean of what came from sample to sample, with its
interval of 95 % (Student's t). A line fitted to what adds up would claim to be far more exact.
"""

import argparse
import contextlib
import os
import statistics
from typing import Any

import numpy as np
from scipy.stats import t
from serving import measure, message, train
from side_by_side import KEYS, apis, memory

from app.demo.service import Client, started

WARM_REQUESTS = 130_000
"""By then the allocator has what it keeps: about 10 MiB more than after 20,000, and hardly more from there on."""


def overload(arguments: argparse.Namespace) -> None:
    with started(max_waiting=arguments.permits) as client:
        port, request = prepared(client, arguments.vectors)
        print(
            "connections    answered/s   p50 ms   p95 ms   p99 ms  refused/s   p50 ms   p95 ms   p99 ms  CPU us/answer"
        )
        few, many = arguments.permits, arguments.times * arguments.permits
        cases: list[tuple[int, tuple[str, ...]]] = [(few, ()), (many, ()), (many, ("obey",))]
        rounds: dict[tuple[int, tuple[str, ...]], list[dict[str, float]]] = {case: [] for case in cases}
        for _ in range(arguments.rounds):
            for (connections, how), parts in rounds.items():
                before = processor_seconds(port)
                found = measure(port, request, connections, arguments.seconds, *how)
                spent = processor_seconds(port) - before
                parts.append(found | {"cpu": 1e6 * spent / (found[KEYS[0]] * arguments.seconds)})
        best = statistics.median(part[KEYS[0]] for part in rounds[few, ()])
        for (connections, how), parts in rounds.items():
            names = [f"{kind}{name}" for kind in ("", "refused_") for name in KEYS] + ["cpu"]
            values = [statistics.median(part.get(name, 0.0) for part in parts) for name in names]
            shown = "  ".join(f"{value:9.2f}" for value in values)
            print(f"{connections:6} {' '.join(how):4}  {shown}  throughput {values[0] / best:.2f}")


def processor_seconds(port: int) -> float:
    """What the API on that port has used of the processor."""
    total = 0.0
    for entry in apis(port):
        with contextlib.suppress(OSError):  # one may have ended since
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def grows(arguments: argparse.Namespace) -> None:
    with started(max_waiting=64) as client:
        port, request = prepared(client, 1)
        done, taken = 0.0, list[tuple[float, float]]()
        while done < WARM_REQUESTS + arguments.requests:
            for connections in (16, 128):
                found = measure(port, request, connections, 1.0)
                done += found[KEYS[0]] + found.get(f"refused_{KEYS[0]}", 0.0)
                if done >= WARM_REQUESTS:
                    taken.append((done, memory(port, None, "Anonymous")))
        at, used = np.array(taken).T
        grown, per = np.diff(used), 1e5 / np.diff(at).mean()
        wide = t.ppf(0.975, len(grown) - 1) * grown.std(ddof=1) / len(grown) ** 0.5
        print(f"{done:.0f} requests: {used[0]:.2f} MiB after {at[0]:.0f}, {used[-1]:.2f} MiB at the end")
        print(f"slope {grown.mean() * per:+.3f} ± {wide * per:.3f} MiB per 100,000 requests, {len(grown)} samples")


def prepared(client: Client, vectors: int) -> tuple[int, bytes]:
    train(client)
    port = client.http.base_url.port or 80
    request = message("rootstock", client.sdk.api_key, vectors)
    for connections in (1, 16, 64):
        measure(port, request, connections, 0.5)
    return port, request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one: Any = commands.add_parser("overload")
    one.add_argument("--permits", type=int, default=32)
    one.add_argument("--times", type=int, default=10, help="connections per permit")
    one.add_argument("--vectors", type=int, default=1, help="per request")
    one.add_argument("--seconds", type=float, default=3.0)
    one.add_argument("--rounds", type=int, default=3)
    one.set_defaults(run=overload)
    other: Any = commands.add_parser("memory")
    other.add_argument("--requests", type=int, default=200_000)
    other.set_defaults(run=grows)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
