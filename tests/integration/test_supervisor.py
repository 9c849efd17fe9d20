"""A supervisor and job processes that it asks to leave: what became of the job, and in which words."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.registry import events, jobs, keys
from app.registry.db import Database
from app.registry.tables import Job
from app.settings import Settings
from worker.launcher import Launcher
from worker.supervisor import Supervisor

STILL_STARTING = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + STILL_STARTING
Run = Callable[[str], Job]


@pytest.fixture
def run(sqlite_registry: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a job in a process of such a program, until its worker is told to stop."""
    with sqlite_registry.session() as session:
        project_id = keys.create_project(session, "tests").id
        job = jobs.create(session, project_id=project_id, kind="pretrain", queue="train", request={})

    def run(program: str) -> Job:
        monkeypatch.chdir(tmp_path)
        settings = Settings(home=tmp_path, stop_seconds=0.5)
        launcher = Launcher([sys.executable, "-c", program])
        supervisor = Supervisor(settings, sqlite_registry, launcher, "tests")
        working = threading.Thread(target=supervisor.run, args=(job.id, "train"))
        working.start()
        while not Path("begun").exists():
            assert working.is_alive()
        supervisor.stopping.set()
        working.join(60)
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
