"""Who works on a job: claims, leases and what happens when one ends. Knows no process and no broker.

A claim gives its worker a fencing token. All lease times come from the database's clock.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import WorkerLost
from app.registry.db import now
from app.registry.states import Fenced as Fenced
from app.registry.states import datasets_in, fail_for_dataset, holder, lock, move
from app.registry.tables import Dataset, Job, JobDataset


@dataclass(frozen=True)
class Claim:
    """The right of one worker to write to a job, until its lease ends."""

    job_id: str
    token: int
    kind: str
    project_id: str
    attempt: int


def claim(session: Session, job_id: str, worker: str, lease_seconds: float) -> Claim | None:
    """Takes a queued job whose datasets are ready; None when there is nothing to take.

    A queued job with a failed dataset becomes failed.
    """
    ready = sa.and_(~datasets_in("validating"), ~datasets_in("failed"))
    job = move(
        session,
        "running",
        Job.id == job_id,
        Job.requested.is_(None),
        sa.or_(Job.kind == "ingest", ready),
        event="job.running",
        message=f"taken by {worker}",
        token=Job.token + 1,
        lease_until=now() + lease_seconds,
        worker=worker,
        started_at=sa.func.coalesce(Job.started_at, now()),
    )
    if job is not None:
        return Claim(job.id, job.token, job.kind, job.project_id, job.attempt)
    failed = (
        sa.select(Dataset.id)
        .join(JobDataset, JobDataset.dataset_id == Dataset.id)
        .join(Job, Job.id == JobDataset.job_id)
        .where(Job.id == job_id, Job.status == "queued", Job.kind != "ingest", Dataset.status == "failed")
    )
    dataset_id = session.scalar(failed.limit(1))
    if dataset_id is not None:
        fail_for_dataset(session, job_id, dataset_id)
    return None


def heartbeat(session: Session, job_id: str, token: int, lease_seconds: float) -> str | None:
    """Renews the lease and tells what was requested of the job: `cancel`, `pause` or None.

    Raises Fenced when the job was taken away.
    """
    statement = (
        sa.update(Job)
        .where(holder(job_id, token))
        .values(lease_until=now() + lease_seconds)
        .returning(Job.id, Job.requested)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        raise Fenced(job_id, token)
    requested: str | None = row.requested
    return requested


def leave(session: Session, job_id: str, token: int) -> str:
    """The worker saved the job and left it: as was requested, else queued again with the attempt kept.

    Returns the new status; raises Fenced when the job was taken away.
    """
    job = _held(session, job_id, token)
    if job.requested is not None:
        return _as_requested(session, job).status
    return _moved(session, job, "queued", event="job.handed_back", message=f"handed back by {job.worker}").status


def lose(session: Session, job_id: str, token: int, error: dict[str, Any]) -> str:
    """The job's process died: like an expired lease, with `error` if the attempts are used up.

    Returns the new status; raises Fenced when the job was taken away.
    """
    return _take_back(session, _held(session, job_id, token), error).status


def expire(session: Session) -> list[Job]:
    """Takes back every job whose lease has run out; returns them in their new state."""
    statement = (
        sa.select(Job)
        .where(Job.status == "running", Job.lease_until < now())
        .order_by(Job.id)
        .with_for_update(skip_locked=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    taken = []
    for job in session.scalars(statement).all():
        error = WorkerLost(f"worker {job.worker} fell silent in attempt {job.attempt} of {job.max_attempts}")
        taken.append(_take_back(session, job, error.body()))
    return taken


def to_ring(session: Session, queue: str, *, idle_seconds: float) -> list[str]:
    """Queued jobs that can be claimed and whose last ring, or creation, is `idle_seconds` old; marks them as rung.

    One with a failed dataset is among them: its claim fails it.
    """
    statement = (
        sa.update(Job)
        .where(
            Job.status == "queued",
            Job.queue == queue,
            Job.requested.is_(None),
            sa.func.coalesce(Job.rung_at, Job.created_at) <= now() - idle_seconds,
            sa.or_(Job.kind == "ingest", ~datasets_in("validating")),
        )
        .values(rung_at=now())
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    )
    return sorted(session.scalars(statement))


def _held(session: Session, job_id: str, token: int) -> Job:
    job = lock(session, holder(job_id, token))
    if job is None:
        raise Fenced(job_id, token)
    return job


def _moved(session: Session, job: Job, to: str, **how: Any) -> Job:
    moved = move(session, to, holder(job.id, job.token), **how)
    assert moved is not None, f"{job.id} changed although its row was held"
    return moved


def _as_requested(session: Session, job: Job) -> Job:
    to = {"cancel": "cancelled", "pause": "paused"}[job.requested or ""]
    return _moved(session, job, to, event=f"job.{to}", message=f"{to} as requested")


def _take_back(session: Session, job: Job, error: dict[str, Any]) -> Job:
    """What becomes of a running job without a worker; its row is held."""
    if job.requested is not None:
        return _as_requested(session, job)
    if job.attempt >= job.max_attempts:
        message = error["message"]
        return _moved(session, job, "failed", event="job.failed", message=message, level="error", error=error)
    return _moved(
        session,
        job,
        "queued",
        event="job.lost",
        message=f"{error['message']}; queued for attempt {job.attempt + 1} of {job.max_attempts}",
        level="warn",
        data={"error": error},
        attempt=Job.attempt + 1,
    )
