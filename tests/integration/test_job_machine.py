"""The job machine with real workers, a real broker and both databases: whatever is killed, a job ends as it should."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.queue import enqueue
from app.registry import fenced, jobs
from app.registry.db import Database
from tests import servers
from tests.integration.machine.machine import Machine, alive, wait_until_dead
from worker.processes.process import NICENESS, SESSION_NICENESS

LONG = 100_000
"""Steps of a job that does not end by itself within a test."""
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite_registry"], indirect=True)
"""Where the database makes no difference; its claims, rings and fences are tested on both without a worker."""


@pytest.fixture
def machine(database: Database, valkey_url: str, tmp_path: Path) -> Iterator[Machine]:
    with contextlib.ExitStack() as stack:
        yield Machine(database, valkey_url, tmp_path, stack)


def test_a_job_runs(machine: Machine) -> None:
    machine.worker()
    job = machine.wait_for(machine.job(steps=3), "succeeded")
    assert (job.attempt, job.token, job.metrics) == (1, 1, {"counted": 3})


def test_a_killed_process_is_replaced_at_once_by_the_same_worker(machine: Machine) -> None:
    machine.worker()
    job_id = machine.job(steps=40)
    first = machine.at_work(job_id)
    machine.wait(job_id, lambda job: job.progress.get("step", 0) >= 5)
    os.kill(first, signal.SIGKILL)
    assert machine.at_work(job_id, attempt=2) != first
    job = machine.wait_for(job_id, "succeeded")
    assert job.metrics == {"counted": 40}
    (lost,) = machine.told(job_id, "job.lost")
    assert "SIGKILL" in lost["error"]["message"]


@ON_SQLITE
def test_a_job_that_crashes_every_time_fails_when_its_attempts_are_used_up(machine: Machine) -> None:
    machine.worker()
    job = machine.wait_for(machine.job(steps=1, crash=True, max_attempts=2), "failed")
    assert job.attempt == 2
    assert job.error is not None
    assert job.error["code"] == "trainer_crashed"
    assert "status 7" in job.error["message"]


def test_a_killed_worker_takes_its_process_along_and_another_worker_takes_the_job(machine: Machine) -> None:
    first = machine.worker()
    job_id = machine.job(steps=60)
    pid = machine.at_work(job_id)
    first.kill()
    wait_until_dead(pid)
    machine.worker()
    machine.at_work(job_id, attempt=2)
    job = machine.wait_for(job_id, "succeeded")
    assert (job.attempt, job.token) == (2, 2)


def test_a_worker_told_to_stop_hands_its_job_back_with_the_attempt_kept(machine: Machine) -> None:
    first = machine.worker()
    job_id = machine.job(steps=60)
    pid = machine.at_work(job_id)
    first.terminate()
    assert first.wait(servers.PATIENCE) == 0
    assert not alive(pid)
    job = machine.look(job_id)
    assert (job.status, job.attempt) == ("queued", 1)
    saved = job.progress["step"]
    machine.worker()
    job = machine.wait_for(job_id, "succeeded")
    assert (job.attempt, job.token, job.metrics) == (1, 2, {"counted": 60})
    assert 0 < saved < 60


@ON_SQLITE
def test_jobs_run_although_the_broker_lost_its_memory(machine: Machine) -> None:
    machine.worker()
    blocking = machine.job(steps=LONG)
    machine.at_work(blocking)
    waiting = [machine.job(steps=1) for _ in range(3)]
    broker = Redis.from_url(machine.settings.broker_url or "")
    assert broker.llen("train") == 3
    broker.flushall()
    broker.close()
    machine.ask(blocking, "cancel")
    for job_id in waiting:
        assert machine.wait_for(job_id, "succeeded").attempt == 1


@ON_SQLITE
def test_a_job_that_was_never_rung_runs(machine: Machine) -> None:
    machine.worker()
    machine.wait_for(machine.job(steps=1, ring=False), "succeeded")


@ON_SQLITE
def test_a_job_cancelled_while_queued_never_runs(machine: Machine) -> None:
    cancelled, later = machine.job(steps=1), machine.job(steps=1)
    machine.ask(cancelled, "cancel")
    machine.worker()
    machine.wait_for(later, "succeeded")
    job = machine.look(cancelled)
    assert (job.status, job.token, job.started_at) == ("cancelled", 0, None)
    assert machine.told(cancelled, "job.running") == []


@ON_SQLITE
def test_a_running_job_gives_way_to_others_and_is_cancelled(machine: Machine) -> None:
    machine.worker()
    job_id = machine.job(steps=LONG)
    pid = machine.at_work(job_id)
    assert os.getpriority(os.PRIO_PROCESS, pid) >= min(os.nice(0) + NICENESS, 19)
    session = Path(f"/proc/{pid}/autogroup")
    assert not session.exists() or session.read_text().endswith(f"nice {SESSION_NICENESS}\n")
    machine.ask(job_id, "cancel")
    machine.wait_for(job_id, "cancelled")
    wait_until_dead(pid)


@ON_SQLITE
def test_a_process_that_does_not_listen_is_killed_and_its_job_cancelled(machine: Machine) -> None:
    machine.set(stop_seconds=2)
    machine.worker()
    job_id = machine.job(steps=LONG, deaf=True)
    pid = machine.at_work(job_id)
    machine.ask(job_id, "cancel")
    machine.wait_for(job_id, "cancelled")
    wait_until_dead(pid)


def test_a_paused_job_goes_on_where_it_was(machine: Machine) -> None:
    machine.worker()
    job_id = machine.job(steps=60)
    machine.at_work(job_id)
    machine.wait(job_id, lambda job: job.progress.get("step", 0) >= 5)
    machine.ask(job_id, "pause")
    saved = machine.wait_for(job_id, "paused").progress["step"]
    with machine.database.session() as session:
        jobs.resume(session, machine.project_id, job_id)
    job = machine.wait_for(job_id, "succeeded")
    assert (job.attempt, job.metrics) == (1, {"counted": 60})
    assert saved >= 5


@ON_SQLITE
def test_a_second_ring_does_no_harm(machine: Machine) -> None:
    machine.worker()
    machine.worker()
    job_id = machine.job(steps=40)
    machine.at_work(job_id)
    for _ in range(3):
        enqueue(machine.settings.broker_url or "", "train", job_id)
    machine.wait_for(job_id, "succeeded")
    machine.wait_for(machine.job(steps=1), "succeeded")
    assert len(machine.told(job_id, "job.running")) == 1
    assert machine.look(job_id).token == 1


@ON_SQLITE
def test_a_job_whose_lease_went_to_another_is_left_alone(machine: Machine) -> None:
    machine.worker()
    job_id = machine.job(steps=LONG, silent=True)
    pid = machine.at_work(job_id)
    with machine.database.session() as session:
        token = jobs.load(session, job_id).token
        fenced.fail(session, job_id, token, {"message": "ended from elsewhere", "code": "internal"})
    wait_until_dead(pid)
    assert machine.look(job_id).error == {"message": "ended from elsewhere", "code": "internal"}


@ON_SQLITE
def test_a_worker_outlives_its_broker(database: Database, tmp_path: Path) -> None:
    port = servers.free_port()
    with contextlib.ExitStack() as stack:
        broker = contextlib.ExitStack()
        url = broker.enter_context(servers.run_valkey(port, "secret"))
        machine = Machine(database, url, tmp_path, stack)
        machine.worker()
        job_id = machine.job(steps=30)
        machine.at_work(job_id)
        broker.close()
        unrung = machine.job(steps=1, ring=False)
        assert machine.wait_for(job_id, "succeeded").attempt == 1
        time.sleep(1)  # the job cannot be acknowledged
        stack.enter_context(servers.run_valkey(port, "secret"))
        assert machine.wait_for(unrung, "succeeded").attempt == 1


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "telling"])
def test_a_job_outlives_its_database(
    postgres_registry: Database, valkey_url: str, tmp_path: Path, *, silent: bool
) -> None:
    database = postgres_registry
    with contextlib.ExitStack() as stack:
        machine = Machine(database, valkey_url, tmp_path, stack)
        machine.set(lease_seconds=30)
        machine.worker()
        job_id = machine.job(steps=100, silent=silent)
        pid = machine.at_work(job_id)
        database.close()
        with servers.postgres_outage(machine.settings.database_url or ""):
            time.sleep(1.5)  # more than one heartbeat, much less than the lease
            assert alive(pid) or not silent
        job = machine.wait_for(job_id, "succeeded")
        assert (job.attempt, job.metrics) == (1, {"counted": 100})  # in the middle of a write it is handed back
        assert job.token == 1 or not silent


def test_a_database_that_is_away_for_longer_than_a_lease_costs_no_attempt(
    postgres_registry: Database, valkey_url: str, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        machine = Machine(postgres_registry, valkey_url, tmp_path, stack)
        machine.worker()
        job_id = machine.job(steps=150, silent=True)
        pid = machine.at_work(job_id)
        postgres_registry.close()
        with servers.postgres_outage(machine.settings.database_url or ""):
            wait_until_dead(pid)  # another worker may have the job, for all that it knows
        job = machine.wait_for(job_id, "succeeded")
        assert (job.attempt, job.token) == (1, 2)
        assert machine.told(job_id, "job.lost") == []
