"""What a running job tells the registry, each in a short session under the fencing token."""

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.errors import InsufficientStorage
from app.registry import events, fenced, metrics
from app.registry.db import Database, is_full
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)
T = TypeVar("T")

ROOM_SECONDS = 2.0
"""Pause before a write to a full disk is tried again."""


class Stopped(Exception):
    """The job saved what it had and left because it was asked to. Not an error."""


class Reporter:
    """A job's process and the house it works in. Every write raises `leases.Fenced` once the job was taken away."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        job_id: str,
        token: int,
        stop: threading.Event,
    ) -> None:
        self.settings = settings
        self.database = database
        self.storage = storage
        self.job_id = job_id
        self.token = token
        self.stop = stop
        """Set when the job is asked to save what it has and to leave."""
        self._progress: dict[str, Any] = {}

    def leave_if_asked(self) -> None:
        """Between two parts of the work. Raises Stopped."""
        if self.stop.is_set():
            raise Stopped

    def event(self, type: str, message: str, *, level: str = "info", data: dict[str, Any] | None = None) -> None:
        self._write(
            lambda session: events.add(
                session, self.job_id, type=type, message=message, level=level, data=data, token=self.token
            )
        )

    def metrics(self, *, step: int, epoch: float, splits: Mapping[str, Mapping[str, float]]) -> None:
        """Values of one step, by split and name."""

        def write(session: Session) -> None:
            for split, values in splits.items():
                metrics.put(session, self.job_id, self.token, step=step, epoch=epoch, split=split, values=values)

        self._write(write)

    def progress(self, progress: dict[str, Any], latest: dict[str, Any] | None = None) -> None:
        """`progress` is the job's object of that name; `latest` are the metrics shown on the job meanwhile."""
        self._progress = progress
        self._write(lambda session: fenced.set_progress(session, self.job_id, self.token, progress, latest))

    def stage(self, stage: str | None) -> None:
        """What is done now that the steps do not count, and has no rate; None once that is over."""
        progress = self._progress
        if stage is not None:
            progress = {**progress, "samples_per_second": None, "estimated_remaining_seconds": None, "stage": stage}
        self._write(lambda session: fenced.set_progress(session, self.job_id, self.token, progress))

    def resolved(self, spec: dict[str, Any], choices: list[Any]) -> None:
        """What the job's request became, and why."""
        self._write(lambda session: fenced.set_spec(session, self.job_id, self.token, spec, choices))

    def when_there_is_room(self, write: Callable[[], T]) -> T:
        """What `write` gives, tried again while a disk is full, of which the job is told once.

        For work that would be lost if the job failed for it. Raises Stopped when asked to leave meanwhile.
        """
        told = False
        while True:
            try:
                return write()
            except InsufficientStorage as error:
                if not told:
                    self.event("warning", f"{error.message}; the job waits for that", level="warn")
                    told = True
            except DBAPIError as error:
                if not is_full(error):
                    raise
                log.warning("%s waits for room on the database's disk: %s", self.job_id, error.orig)
            if self.stop.wait(ROOM_SECONDS):
                raise Stopped

    def _write(self, write: Callable[[Session], object]) -> None:
        def once() -> None:
            with self.database.session() as session:
                write(session)

        self.when_there_is_room(once)

    @property
    def scratch(self) -> Path:
        """A folder for what ends with this process; what a killed one leaves there, the sweep removes."""
        self.settings.scratch.mkdir(parents=True, exist_ok=True)
        return self.settings.scratch

    def key(self, what: str, name: str) -> str:
        """A storage key that no other claim of this or any job can write to."""
        return f"jobs/{self.job_id}/{self.token}/{what}/{name}"


class Quiet(Reporter):
    """That of a process that does its part of a job while another one speaks for both."""

    def event(self, type: str, message: str, *, level: str = "info", data: dict[str, Any] | None = None) -> None:
        pass

    def metrics(self, *, step: int, epoch: float, splits: Mapping[str, Mapping[str, float]]) -> None:
        pass

    def progress(self, progress: dict[str, Any], latest: dict[str, Any] | None = None) -> None:
        pass

    def stage(self, stage: str | None) -> None:
        pass

    def resolved(self, spec: dict[str, Any], choices: list[Any]) -> None:
        pass
