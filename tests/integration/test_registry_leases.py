"""Claims, leases and fencing on either database, with many workers and sweeps at once."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import TrainerCrashed
from app.registry import checkpoints, events, fenced, jobs, leases, metrics
from app.registry.db import Database, now
from app.registry.moves import TERMINAL
from app.registry.tables import Checkpoint, Event, Job, Metric, StoredObject
from tests import rows
from tests.crowd import at_once

ERROR = TrainerCrashed("the trainer ended with signal 9").body()


@pytest.fixture
def job(database: Database) -> Job:
    """A queued job."""
    with database.session() as session:
        return rows.job(session, rows.project(session))


def load(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return jobs.load(session, job_id)


def test_of_many_claims_at_once_one_wins(database: Database, job: Job) -> None:
    def claim(index: int) -> leases.Claim | None:
        with database.session() as session:
            return leases.claim(session, job.id, f"worker-{index}", 60)

    won = [claimed for claimed in at_once(12, claim) if claimed is not None]
    assert [claimed.token for claimed in won] == [1]
    assert (load(database, job.id).status, load(database, job.id).token) == ("running", 1)
    with database.reading() as session:
        assert [event.type for event in events.after(session, job.id, 0, 99)] == ["job.created", "job.running"]


def test_the_first_terminal_write_wins_and_never_changes(database: Database, job: Job) -> None:
    with database.session() as session:
        token = rows.claim(session, job).token

    def end(index: int) -> str | None:
        try:
            with database.session() as session:
                if index % 2:
                    return fenced.fail(session, job.id, token, ERROR).status
                return fenced.succeed(session, job.id, token, metrics={"writer": index}).status
        except leases.Fenced:
            return None

    [won] = [status for status in at_once(8, end) if status is not None]
    ended = load(database, job.id)
    assert ended.status == won
    assert ended.status in TERMINAL
    assert (ended.error is None) == (won == "succeeded")
    with database.session() as session, pytest.raises(leases.Fenced):
        fenced.succeed(session, job.id, token)
    with database.session() as session:
        assert [event.type for event in events.after(session, job.id, 2, 9)] == [f"job.{won}"]
    assert load(database, job.id).finished_at == ended.finished_at


Write = Callable[[Session, str, int], object]
WRITES: dict[str, Write] = {
    "heartbeat": lambda session, job_id, token: leases.heartbeat(session, job_id, token, 60),
    "leave": lambda session, job_id, token: leases.leave(session, job_id, token),
    "lose": lambda session, job_id, token: leases.lose(session, job_id, token, ERROR),
    "succeed": lambda session, job_id, token: fenced.succeed(session, job_id, token, metrics={"mse": 0.0}),
    "fail": lambda session, job_id, token: fenced.fail(session, job_id, token, ERROR),
    "spec": lambda session, job_id, token: fenced.set_spec(session, job_id, token, {"late": True}, []),
    "progress": lambda session, job_id, token: fenced.set_progress(session, job_id, token, {"step": 9}),
    "event": lambda session, job_id, token: events.add(session, job_id, type="message", message="late", token=token),
    "metrics": lambda session, job_id, token: metrics.put(
        session, job_id, token, step=9, epoch=1.0, split="train", values={"loss": 1.0}
    ),
    "checkpoint": lambda session, job_id, token: checkpoints.add(
        session, job_id, token, step=9, metrics={}, objects={"state": rows.stored()}
    ),
}


@pytest.mark.parametrize("state", ["taken by another worker", "queued again", "ended"])
def test_a_stale_token_can_write_nothing(database: Database, job: Job, state: str) -> None:
    with database.session() as session:
        token = rows.claim(session, job, lease_seconds=-1).token
        leases.expire(session)
        if state != "queued again":
            other = rows.claim(session, job).token
            if state == "ended":
                fenced.succeed(session, job.id, other)

    def everything() -> list[object]:
        with database.reading() as session:
            row = session.execute(sa.select(*Job.__table__.columns).where(Job.id == job.id)).one()
            counted = [Event, Metric, Checkpoint, StoredObject]
            return [tuple(row), *(session.scalar(sa.select(sa.func.count()).select_from(t)) for t in counted)]

    before = everything()
    for name, write in WRITES.items():
        with pytest.raises(leases.Fenced, match=job.id), database.session() as session:
            write(session, job.id, token)
        assert everything() == before, name


def test_the_same_writes_count_under_the_token(database: Database) -> None:
    for write in WRITES.values():
        with database.session() as session:
            job = rows.job(session, rows.project(session), "running")
        with database.session() as session:
            write(session, job.id, job.token)


@pytest.mark.parametrize(
    ("requested", "attempts", "status", "attempt"),
    [("cancel", 3, "cancelled", 1), ("pause", 3, "paused", 1), (None, 3, "queued", 2), (None, 1, "failed", 1)],
)
def test_an_expired_lease_is_taken_back_once(
    database: Database, requested: str | None, attempts: int, status: str, attempt: int
) -> None:
    with database.session() as session:
        project_id = rows.project(session)
        job = rows.job(session, project_id, max_attempts=attempts)
        alive = rows.job(session, project_id, "running")
        rows.claim(session, job, lease_seconds=-1)
        if requested is not None:
            jobs.ask(session, project_id, job.id, requested)  # type: ignore[arg-type]

    def expire(_: int) -> list[str]:
        with database.session() as session:
            return [taken.id for taken in leases.expire(session)]

    assert [job_id for taken in at_once(6, expire) for job_id in taken] == [job.id]
    after = load(database, job.id)
    assert (after.status, after.attempt, after.lease_until) == (status, attempt, None)
    assert ((after.error or {}).get("code") == "worker_lost") == (status == "failed")
    assert load(database, alive.id).status == "running"


def test_leases_run_by_the_databases_clock(database: Database, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)  # this machine's clock has stopped long ago
    with database.session() as session:
        rows.claim(session, job, lease_seconds=1000)
        left = session.scalar(sa.select(Job.lease_until - now()).where(Job.id == job.id))
        assert left is not None
        assert 900 < left <= 1000
        assert leases.expire(session) == []
        session.execute(sa.update(Job).values(lease_until=now() - 0.5))
        assert [taken.id for taken in leases.expire(session)] == [job.id]


def test_bells_that_several_sweeps_ring_are_rung_once(database: Database, job: Job) -> None:
    with database.session() as session:
        session.execute(sa.update(Job).values(created_at=now() - 100))

    def sweep(_: int) -> list[str]:
        with database.session() as session:
            return leases.to_ring(session, "train", idle_seconds=50)

    assert sorted(at_once(6, sweep)) == [[]] * 5 + [[job.id]]
