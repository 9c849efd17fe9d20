"""A supervisor and job processes that it asks to leave: what became of the job, and in which words."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy.orm import Session

from app.registry import events, fenced, jobs, keys
from app.registry.db import Database
from app.registry.tables import Job
from app.settings import Settings
from tests.servers import PATIENCE
from worker.processes.launcher import Launcher
from worker.processes.supervisor import Supervisor

STILL_STARTING = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(60)"
UNTIL_TOLD = """
import pathlib, time
pathlib.Path('begun').touch()
while not pathlib.Path('leave').exists(): time.sleep(0.01)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STILL_STARTING


class Run(Protocol):
    """Runs a job in a process of such a program until its worker is told to stop, or what is `written` has ended it."""

    def __call__(self, program: str, written: Callable[[Session, Job], object] | None = None) -> Job: ...


@pytest.fixture
def run(sqlite_registry: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    with sqlite_registry.session() as session:
        project_id = keys.create_project(session, "tests").id
        job = jobs.create(session, project_id=project_id, kind="pretrain", queue="train", request={})

    def run(program: str, written: Callable[[Session, Job], object] | None = None) -> Job:
        monkeypatch.chdir(tmp_path)
        settings = Settings(home=tmp_path, stop_seconds=0.5)
        launcher = Launcher([sys.executable, "-c", program])
        supervisor = Supervisor(settings, sqlite_registry, launcher, "tests")
        working = threading.Thread(target=supervisor.run, args=(job.id, "train"))
        working.start()
        while not Path("begun").exists():
            assert working.is_alive()
        if written is None:
            supervisor.stopping.set()
        else:
            with sqlite_registry.session() as session:
                written(session, jobs.load(session, job.id))
            Path("leave").touch()
        working.join(PATIENCE)
        with sqlite_registry.reading() as session:
            return jobs.load(session, job.id)

    return run


def test_a_process_that_is_asked_before_it_can_hear_uses_up_no_attempt(run: Run) -> None:
    job = run(STILL_STARTING)
    assert (job.status, job.attempt) == ("queued", 1)


def test_a_process_that_does_not_leave_is_killed_and_the_job_says_why(run: Run, sqlite_registry: Database) -> None:
    job = run(DEAF)
    assert (job.status, job.attempt) == ("queued", 2)
    with sqlite_registry.reading() as session:
        lost = [event.message for event in events.after(session, job.id, 0, 10) if event.type == "job.lost"]
    assert "did not leave within 0.5 s" in lost[0]
    assert "memory" not in lost[0]


def test_the_log_says_what_was_run_and_how_it_ended(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "worker.processes.supervisor")
    job = run(UNTIL_TOLD, lambda session, job: fenced.fail(session, job.id, job.token, {"code": "x", "message": "y"}))
    began, ended = (record.getMessage() for record in caplog.records)
    assert began == f"{job.id} is running: pretrain, attempt 1"
    assert ended.startswith(f"{job.id} is failed, after ")
