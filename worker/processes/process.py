"""A job's own process: takes one order, runs the handler of its kind and tells by its exit status how that ended.

Its standard input is its leash. The order is the first line that comes from there; the end of the stream means that
the supervisor is gone, and then the process kills its whole group, so that no orphan trains on. Knows no lease and no
queue.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy.exc import DBAPIError

from app.errors import NotReady, OutOfMemory, RootstockError
from app.registry import fenced
from app.registry.db import Database, PatientDatabase, is_away, is_full
from app.registry.states import Fenced
from app.settings import settings
from app.storage import Storage, open_storage
from worker.processes.crew import lead
from worker.progress import Quiet, Reporter, Stopped

log = logging.getLogger(__name__)

HANDLERS = {
    "pretrain": "worker.trainer:run",
    "finetune": "worker.trainer:run",
    "ingest": "worker.ingest.run:run",
    "batch": "worker.handlers.batch:run",
    "import": "worker.handlers.importing:run",
    "embed": "worker.handlers.embedding:run",
    "evaluate": "worker.handlers.evaluating:run",
    "publish": "worker.handlers.publishing:run",
}
"""Kind of job to the function that does it; imported when it is needed, since some of them bring torch."""

NICENESS, SESSION_NICENESS = 10, 5
"""A job gives way to an API on the same machine; alone, it loses nothing.

Where the kernel weighs whole sessions, a job's has a third of the weight of any other: beside an API that is enough,
and where many other things run, a job still goes on."""
DONE, LEFT = 0, 75
"""Exit statuses: the end is in the registry; left, to be taken up again, as was asked, or since the store or
the database is away. Any other one is a crash."""
AWAY_SECONDS = 5.0
"""Pause before a store that is away is looked for again."""


@dataclass(frozen=True)
class Order:
    """What the supervisor asks of a process."""

    job_id: str
    token: int
    kind: str

    def line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Self:
        return cls(**json.loads(line))


def main(handlers: Mapping[str, str] = HANDLERS) -> int:
    """Waits for an order, carries it out, returns the exit status."""
    parser = argparse.ArgumentParser(prog="worker.processes.process", description=__doc__)
    parser.add_argument(
        "--preload", metavar="MODULE", help="imported before the order comes, so that it starts at once"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    orders: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    if os.getpgrp() != os.getpid():
        os.setpgrp()  # the leash kills a group: it must be ours alone
    give_way()
    threading.Thread(target=hold_leash, args=(orders,), name="leash", daemon=True).start()

    def leave(number: int, frame: Any) -> None:
        stop.set()
        orders.put(None)  # for a process that still waits

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if arguments.preload:
        importlib.import_module(arguments.preload)
    line = orders.get()
    if line is None:
        return DONE
    order, devices = Order.read(line), settings().devices
    if devices > 1 and handlers[order.kind] == HANDLERS["pretrain"]:
        return lead(order.line(), devices, stop)
    return carry_out(order, handlers, stop)


def give_way() -> None:
    """Lowers the priority of this process, and of its session where the kernel weighs sessions before processes."""
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():  # with autogroups, niceness counts within a session alone (sched(7))
        with contextlib.suppress(OSError):  # there are none here, or they are not ours to set
            Path("/proc/self/autogroup").write_text(f"{SESSION_NICENESS}")


def hold_leash(orders: "queue.SimpleQueue[bytes | None]") -> None:
    """Passes the first line on; kills the process and its children when the stream ends."""
    received = b""
    while chunk := os.read(0, 4096):  # not sys.stdin: its lock would be held while the interpreter shuts down
        received += chunk
        line, newline, rest = received.partition(b"\n")
        if newline:
            orders.put(line)
            received = rest
    os.killpg(os.getpgrp(), signal.SIGKILL)


def carry_out(order: Order, handlers: Mapping[str, str], stop: threading.Event, *, quiet: bool = False) -> int:
    """Runs the handler; writes the error of a job that failed by its own fault, unless `quiet`: then others do."""
    configuration = settings()
    database = PatientDatabase(configuration.resolved_database_url)
    storage = open_storage(configuration)
    reporter = (Quiet if quiet else Reporter)(configuration, database, storage, order.job_id, order.token, stop)
    module, _, name = handlers[order.kind].partition(":")
    try:
        getattr(importlib.import_module(module), name)(reporter)
    except Stopped:
        return LEFT
    except Fenced:
        log.warning("%s was taken away from this process", order.job_id)
    except NotReady as error:  # no fault of the job's
        log.warning("%s waits: %s", order.job_id, error.message)
        with contextlib.suppress(Fenced):
            reporter.event("warning", f"{error.message}; the job goes on when it does", level="warn")
        wait_for_store(storage, stop)
        return LEFT
    except DBAPIError as error:
        if not is_full(error) and not is_away(error):
            raise
        log.warning("%s is handed back: the database did not take it: %s", order.job_id, error.orig)
        return LEFT
    except RootstockError as error:
        log.warning("%s failed: %s", order.job_id, error.message)
        if not quiet:
            write_failure(database, order, error)
    except MemoryError:
        log.exception("%s needs more memory than there is", order.job_id)
        write_failure(database, order, OutOfMemory("the worker's memory did not suffice; try less data at once"))
    finally:
        database.close()
    return DONE


def wait_for_store(storage: Storage, stop: threading.Event) -> None:
    """Until it answers again, or the job is asked to leave."""
    while not stop.wait(AWAY_SECONDS):
        with contextlib.suppress(NotReady):
            storage.check()
            return


def write_failure(database: Database, order: Order, error: RootstockError) -> None:
    with contextlib.suppress(Fenced), database.session() as session:
        fenced.fail(session, order.job_id, order.token, error.body())


if __name__ == "__main__":
    sys.exit(main())
