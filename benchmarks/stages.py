"""What one embedding costs the server's processor, stage by stage: vectors of 784 numbers, by JSON and in binary.

    .venv/bin/python benchmarks/stages.py [--connections 16 --vectors 1 --seconds 3]

A server runs in a thread of this process on the models of a service that was started for it, and a load in another
process asks it over loopback. The functions of the fast path are timed from within, each without those that it calls;
what is left of the thread's own time is the event loop's, which finds and reads sockets. Clocks cost something, too, so
what an answer costs without them is printed beside. Only an idle machine gives figures: a thread that has to wait for
the processor is not seen to wait.
"""

import argparse
import contextlib
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import uvicorn
from serving import measure, message, train
from side_by_side import KEYS, apis

from app import plain_json
from app.api.fast_path.gathered import Gathered
from app.api.fast_path.heads import Heads
from app.api.fast_path.lane import Lane
from app.api.fast_path.question import Alike
from app.api.fast_path.turn import Turn
from app.api.fast_path.wire import Gathering
from app.api.telemetry import Telemetry
from app.demo.service import started
from app.main import from_environment
from app.ml.inference.predictor import Predictor
from app.ml.inference.reading import Reading

STAGES: list[tuple[str, Any, str]] = [
    ("knowing the head", Heads, "find"),
    ("admission", Lane, "must_wait"),
    ("reading numbers", plain_json, "read"),
    ("reading numbers", Alike, "items"),
    ("scaling", Reading, "encode"),
    ("network", Predictor, "answer_here"),
    ("writing numbers", Alike, "packed"),
    ("counting", Predictor, "count"),
    ("counting", Telemetry, "requests"),
    ("sending", Gathered, "write_now"),
    ("gathering questions", Lane, "take"),
    ("telling answers", Turn, "_answer"),
    ("the connection", Gathering, "data_received"),
]
"""Each with the function that does it; times of functions that are called within are taken off."""
LOOP, ALL = "event loop and reading", "all"
WARM_SECONDS = 1.0


class Stopwatch:
    """What functions took, each without those that it called. Of one thread."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[stage] += took - self._inner.pop()
                self._inner[-1] += took

        return timed


@contextlib.contextmanager
def watched(watch: Stopwatch) -> Iterator[None]:
    """The functions are timed as long as the block lasts, by servers that begin within it."""
    before = [(owner, name, getattr(owner, name)) for _, owner, name in STAGES]
    for (stage, owner, name), (_, _, function) in zip(STAGES, before, strict=True):
        setattr(owner, name, watch.timed(stage, function))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


@contextlib.contextmanager
def serving() -> Iterator[tuple[int, Callable[[], float]]]:
    """The port of a server in a thread, as the environment says, and what tells that thread's own seconds."""
    options: Any = {"http": Gathering, "ws": "none", "proxy_headers": False, "access_log": False}
    server = uvicorn.Server(uvicorn.Config(from_environment, factory=True, log_level="warning", **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            clock = time.pthread_getcpuclockid(thread.ident or 0)
            yield listening.getsockname()[1], lambda: time.clock_gettime(clock)
        finally:
            server.should_exit = True
            thread.join()


def adopt(port: int) -> None:
    """Takes the settings of the API on that port."""
    for entry in apis(port):
        held = (line.decode().partition("=") for line in (entry / "environ").read_bytes().split(b"\0"))
        os.environ |= {name: value for name, _, value in held if name.startswith("ROOTSTOCK_")}


def asked(request: bytes, options: argparse.Namespace, watch: Stopwatch) -> dict[str, float]:
    """Seconds of the thread's own for an answer, and those of them that the watch has seen."""
    with serving() as (port, own):
        measure(port, request, options.connections, WARM_SECONDS)
        watch.seconds.clear()
        before = own()
        answers = measure(port, request, options.connections, options.seconds)[KEYS[0]] * options.seconds
        whole, found = (own() - before) / answers, {name: took / answers for name, took in watch.seconds.items()}
    return {LOOP: whole - sum(found.values()), **found, ALL: whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--vectors", type=int, default=1, help="per request")
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    sys.setswitchinterval(1.0)  # this process has another thread, which waits
    costs: dict[str, dict[str, float]] = {}
    with started() as client:
        train(client)
        adopt(client.http.base_url.port or 80)
        for kind in ("rootstock", "raw"):
            request, watch = message(kind, client.sdk.api_key, options.vectors), Stopwatch()
            plainly = asked(request, options, watch)
            with watched(watch):
                costs[kind] = asked(request, options, watch) | {"without clocks": plainly[ALL]}
    print(f"\n{'us per answer':24}{'JSON':>8}{'binary':>8}")
    for stage in dict.fromkeys([LOOP, *(stage for stage, _, _ in STAGES), ALL, "without clocks"]):
        print(f"{stage:24}" + "".join(f"{1e6 * each.get(stage, 0.0):8.2f}" for each in costs.values()))


if __name__ == "__main__":
    main()
