"""A registry, a broker and real workers whose jobs count; knows no test."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.embedded import worker_command
from app.queue import enqueue
from app.registry import events, jobs, keys
from app.registry.db import Database
from app.registry.tables import Job
from app.settings import PREFIX, Settings
from tests.servers import PATIENCE

MODULE = "tests.integration.machine.celery_app"


class Machine:
    """A registry, a broker, and as many workers as a test starts."""

    def __init__(self, database: Database, broker_url: str, folder: Path, stack: contextlib.ExitStack) -> None:
        self.database, self.stack = database, stack
        self.settings = Settings(
            home=folder,
            database_url=database.url.render_as_string(hide_password=False),
            broker_url=broker_url,
            lease_seconds=3,
            sweep_seconds=0.5,
            stop_seconds=PATIENCE,
        )
        with database.session() as session:
            keys.bootstrap(session)
            self.project_id = keys.all(session)[0].project_id

    def set(self, **settings: Any) -> None:
        """For the workers that are started from now on."""
        self.settings = self.settings.model_copy(update=settings)

    def job(self, *, ring: bool = True, max_attempts: int = 3, **request: Any) -> str:
        with self.database.session() as session:
            job = jobs.create(
                session,
                project_id=self.project_id,
                kind="pretrain",
                queue="train",
                request=request,
                max_attempts=max_attempts,
            )
        if ring:
            assert enqueue(self.settings.broker_url or "", "train", job.id)
        return job.id

    def worker(self) -> "subprocess.Popen[bytes]":
        command = [word.replace("worker.celery_app", MODULE) for word in worker_command("train")]
        environment = os.environ | {
            f"{PREFIX}{name.upper()}": str(value)
            for name, value in self.settings.model_dump(exclude_unset=True).items()
        }
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def look(self, job_id: str) -> Job:
        with self.database.reading() as session:
            return jobs.load(session, job_id)

    def wait(self, job_id: str, holds: Callable[[Job], bool]) -> Job:
        deadline = time.monotonic() + PATIENCE
        while not holds(job := self.look(job_id)):
            assert time.monotonic() < deadline, f"{job_id} is {job.status}, attempt {job.attempt}, {job.progress}"
            time.sleep(0.05)
        return job

    def wait_for(self, job_id: str, status: str) -> Job:
        return self.wait(job_id, lambda job: job.status == status)

    def at_work(self, job_id: str, attempt: int = 1) -> int:
        """Waits until the job has done something in this attempt; the id of its process."""
        self.wait(job_id, lambda job: job.status == "running" and job.attempt == attempt)
        deadline = time.monotonic() + PATIENCE
        while len(pids := self.told(job_id, "message")) < self.look(job_id).token:
            assert time.monotonic() < deadline, f"{job_id} never began"
            time.sleep(0.05)
        return int(pids[-1]["pid"])

    def told(self, job_id: str, type: str) -> list[dict[str, Any]]:
        """The data of the job's events of one type."""
        with self.database.reading() as session:
            return [event.data for event in events.after(session, job_id, 0, 1000) if event.type == type]

    def ask(self, job_id: str, what: Any) -> None:
        with self.database.session() as session:
            jobs.ask(session, self.project_id, job_id, what)


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet buried does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return state != "" and not state.startswith("Z")


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.05)
