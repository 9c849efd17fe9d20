"""Child processes that are kept alive: restarted with back-off, their logs in files, the important lines passed on.

Knows no settings and not what the children do.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

IMPORTANT = re.compile(r"(?<!# )\b(WARNING|ERROR|CRITICAL)\b|^\w+(Error|Exception)\b")
LONGEST_PAUSE, GOOD_LIFE = 30.0, 60.0
"""Seconds: the longest pause before a restart, and the life after which a child counts as healthy again."""
LOG_BYTES = 16 * 1024 * 1024

Say = Callable[[str], None]


class Guard:
    """The process that ends the children should we be killed."""

    def __init__(self, patience: float, inherited: Sequence[int]) -> None:
        self._command, self._inherited = [sys.executable, "-m", "app.guard", str(patience)], list(inherited)
        self._stages: dict[int, int] = {}
        self._process = self._start()

    def add(self, pid: int, stage: int) -> None:
        self._stages[pid] = stage
        self._tell(f"add {stage} {pid}")

    def remove(self, pid: int) -> None:
        self._stages.pop(pid, None)
        self._tell(f"remove {pid}")

    def look(self) -> None:
        """Starts another guard if this one has died."""
        if self._process.poll() is not None:
            self._process.communicate()  # closes our end
            self._process = self._start()
            for pid, stage in self._stages.items():
                self._tell(f"add {stage} {pid}")

    def close(self) -> None:
        """Lets it go; it ends whatever it still knows of."""
        self._process.communicate()

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command, stdin=subprocess.PIPE, pass_fds=self._inherited, start_new_session=True, bufsize=0
        )

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # dead; the next look starts another one
            self._process.stdin.write(line.encode() + b"\n")


class Child:
    """One command that should be running. Stages are stopped in order, 0 first."""

    def __init__(self, name: str, stage: int, command: Sequence[str], log: Path, guard: Guard, say: Say) -> None:
        self.name, self.stage, self.command, self.log, self.guard, self.say = (
            name,
            stage,
            list(command),
            log,
            guard,
            say,
        )
        self.failures = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started = self._restart_at = 0.0
        self._read = 0

    def start(self, environment: Mapping[str, str], inherited: Sequence[int]) -> None:
        """Starts it, from now on with these surroundings."""
        self._environment, self._inherited = dict(environment), list(inherited)
        self._read = self.log.stat().st_size if self.log.exists() else 0
        self._start()

    def look(self) -> None:
        """Passes on what is new in the log, and starts the child again if it has died and its pause is over."""
        self._pass_on_news()
        if self._process is None:
            if time.monotonic() >= self._restart_at:
                self._start()
        elif (status := self._process.poll()) is not None:
            self.guard.remove(self._process.pid)
            self._process = None
            now = time.monotonic()
            self.failures = 1 if now - self._started > GOOD_LIFE else self.failures + 1
            pause = min(LONGEST_PAUSE, 0.5 * 2**self.failures)
            self._restart_at = now + pause
            self.say(f"{self.name} died ({in_words(status)}), starts again in {pause:g} s; see {self.log}")

    def ask_to_stop(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """Ends what is left of it and of its group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self.guard.remove(self._process.pid)
            self._process = None

    def last_lines(self, number: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-number:])

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                pass_fds=self._inherited,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops its children in order
            )
        self._started = time.monotonic()
        self.guard.add(self._process.pid, self.stage)

    def _pass_on_news(self) -> None:
        with self.log.open("rb") as log:
            log.seek(self._read)
            news = log.read(LOG_BYTES)
        complete = news.rfind(b"\n") + 1
        self._read += complete
        if self._read > LOG_BYTES:  # it goes on in the same file, which is open in the child and all that it starts
            shutil.copyfile(self.log, self.log.with_suffix(".old.log"))
            os.truncate(self.log, 0)
            self._read = 0
        for line in news[:complete].decode(errors="replace").splitlines():
            if IMPORTANT.search(line):
                self.say(f"{self.name}: {line}")


def stop_all(children: Sequence[Child], patience: float, hurry: Callable[[], bool]) -> None:
    """Stops the children stage by stage; kills those that take longer than `patience` seconds, or all in a hurry."""
    for stage in sorted({child.stage for child in children}):
        concerned = [child for child in children if child.stage == stage]
        for child in concerned:
            child.ask_to_stop()
        deadline = time.monotonic() + patience
        while not all(child.gone() for child in concerned) and time.monotonic() < deadline and not hurry():
            time.sleep(0.05)
        for child in concerned:
            child.kill()


def in_words(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
