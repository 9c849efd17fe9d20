"""Starts job processes and keeps a spare one that has its large libraries imported. Knows no job and no registry."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from app.settings import MIB
from worker.processes.process import Order

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "worker.processes.process")
PRELOAD = "worker.trainer"
"""With it comes nearly all that the handlers of other kinds import."""
LIGHT = frozenset({"ingest"})
"""Kinds of jobs that need none of it, and whose memory it would be."""
UNDER_WAY_SECONDS = 15.0
"""A job that has run for so long hardly feels that another process starts."""
SURROUNDINGS = {
    "GOMP_SPINCOUNT": "60000",
    "MALLOC_MMAP_THRESHOLD_": str(32 * MIB),
    "MALLOC_TRIM_THRESHOLD_": str(256 * MIB),
}
"""What makes steps of training fast, read when a process starts; whoever starts the worker may say otherwise.

How long a thread of torch's spins before it sleeps when it waits for another: the default is 5 times that, as fast on
idle cores and many times slower on cores that an API or another job shares; with a sixth of that, threads fell asleep
within steps. And how much freed memory a process keeps: the values of a batch lie where those of the last one lay,
instead of in fresh pages that the kernel clears. A training itself keeps more."""


class Launcher:
    """The command that becomes a job's process, and at most one process that waits for its order."""

    def __init__(self, command: Sequence[str] = COMMAND, preload: str = PRELOAD) -> None:
        self.command, self.preload = list(command), preload
        self._lock = threading.Lock()
        self._keeps_spare = False
        self._spare: subprocess.Popen[bytes] | None = None
        self._newest: subprocess.Popen[bytes] | None = None

    def keep_spare(self, after: float = 0.0) -> None:
        """From now on, or so many seconds later, a spare process waits: most jobs import large libraries."""
        with self._lock:
            self._keeps_spare = True
        if not after:
            self._fill()
            return
        later = threading.Timer(after, self._fill)
        later.daemon = True
        later.start()

    def launch(self, order: Order) -> "subprocess.Popen[bytes]":
        """A process that works on `order`: the spare if it lives, and later another one takes its place."""
        with self._lock:
            process = None
            if order.kind not in LIGHT:
                process, self._spare = self._spare, None
            if process is None or not hand_over(process, order):
                process = self._start()
                hand_over(process, order)  # one that is dead already is found dead by whoever waits for it
            self._newest = process
        if self._keeps_spare:
            threading.Thread(target=self._refill, args=(process,), daemon=True).start()
        return process

    def _refill(self, busy: "subprocess.Popen[bytes]") -> None:
        """Imports take a core for seconds, of which a short job would feel every one: they wait until it has ended.

        Where another job has begun meanwhile, the next spare waits for that one.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            busy.wait(UNDER_WAY_SECONDS)
        if busy is self._newest:
            self._fill()

    def _fill(self) -> None:
        with self._lock:
            if self._keeps_spare and self._spare is None:
                self._spare = self._start("--preload", self.preload)

    def close(self) -> None:
        """Lets the spare go."""
        with self._lock:
            self._keeps_spare = False
            spare, self._spare = self._spare, None
        if spare is not None:
            kill(spare)

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*self.command, *arguments], stdin=subprocess.PIPE, start_new_session=True, env=SURROUNDINGS | os.environ
        )


def hand_over(process: "subprocess.Popen[bytes]", order: Order) -> bool:
    """Gives a waiting process its order; its standard input stays open, as its leash. False when it is dead."""
    assert process.stdin is not None
    try:
        process.stdin.write(order.line())
        process.stdin.flush()
    except BrokenPipeError:
        log.warning("a waiting job process (%d) was found dead", process.pid)
        kill(process)
        return False
    return True


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and everything that it started, and waits until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    release(process)


def release(process: "subprocess.Popen[bytes]") -> None:
    """Closes our end of a dead process's leash."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
