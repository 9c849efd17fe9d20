"""The states of a job: which moves are legal, and the one conditional UPDATE that makes a move. Knows no reasons.

`jobs.py` and `leases.py` say when and why a job moves; whatever they ask for, an illegal move changes nothing.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import DatasetFailed
from app.registry.batch_files import files_of_ended
from app.registry.db import now
from app.registry.moves import MOVES, TERMINAL
from app.registry.tables import Dataset, Event, Job, JobDataset, Link


class Fenced(Exception):
    """The job was taken away: the token is stale or the job no longer runs. What was to be written must not count."""

    def __init__(self, job_id: str, token: int) -> None:
        super().__init__(f"{job_id} is no longer held under token {token}")


def holder(job_id: str, token: int) -> sa.ColumnElement[bool]:
    """The condition under which a worker's write counts."""
    return sa.and_(Job.id == job_id, Job.token == token, Job.status == "running")


def hold(session: Session, job_id: str, token: int) -> None:
    """Keeps the job's row until the transaction ends, so that nobody takes the job away meanwhile.

    Raises Fenced when somebody already has.
    """
    statement = sa.select(Job.id).where(holder(job_id, token)).with_for_update(key_share=True)
    if session.scalar(statement) is None:
        raise Fenced(job_id, token)


def lock(session: Session, *where: sa.ColumnElement[bool]) -> Job | None:
    """The job's row as it is now, kept from changing until the transaction ends."""
    statement = sa.select(Job).where(*where).with_for_update(key_share=True, of=Job)
    return session.scalar(statement, execution_options={"populate_existing": True})


def move(
    session: Session,
    to: str,
    *where: sa.ColumnElement[bool],
    event: str,
    message: str,
    level: str = "info",
    data: dict[str, Any] | None = None,
    **values: Any,
) -> Job | None:
    """Moves the job that fulfils `where` to the state `to` and adds the event; None when it is not there to be moved.

    `values` are further columns to set. What belongs to a claim (lease, worker, what was requested) ends with it.
    """
    sources = [state for state, following in MOVES.items() if to in following]
    if to != "running":
        values |= {"requested": None, "lease_until": None, "worker": None}
    if to in TERMINAL:
        values["finished_at"] = now()
    if to == "queued":
        values["rung_at"] = None  # counts as never rung, so the sweep rings at once if nobody else does
    statement = (
        sa.update(Job)
        .where(Job.status.in_(sources), *where)
        .values(status=to, revision=Job.revision + 1, events=Job.events + 1, **values)
        .returning(Job)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    job = session.scalars(statement).one_or_none()
    if job is None:
        return None
    session.add(
        Event(job_id=job.id, number=job.events, type=event, level=level, message=message, data=data or {}),
    )
    session.flush()
    if job.kind == "batch" and to in ("failed", "cancelled"):
        files_of_ended(session, job)
    if to in TERMINAL:  # what it held to go on from, such as the shards of its result
        session.execute(sa.delete(Link).where(Link.owner == job.id), execution_options={"synchronize_session": False})
    if job.kind == "ingest" and to in ("failed", "cancelled"):
        _ingest_ended(session, job)
    return job


def datasets_in(status: str) -> sa.ColumnElement[bool]:
    """The condition that one of the job's datasets is in `status`."""
    return (
        sa.exists()
        .where(JobDataset.job_id == Job.id, JobDataset.dataset_id == Dataset.id, Dataset.status == status)
        .correlate(Job)
    )


def waiting_jobs(session: Session, dataset_id: str) -> Sequence[Job]:
    """The queued jobs that are to work on the dataset, oldest first; its own ingest job is none of them."""
    statement = (
        sa.select(Job)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.dataset_id == dataset_id, Job.status == "queued", Job.kind != "ingest")
        .order_by(Job.id)
    )
    return session.scalars(statement).unique().all()


def dataset_failed(dataset: Dataset) -> DatasetFailed:
    """The error of whoever wants to work on a dataset that turned out invalid; its first fault is told."""
    why = (dataset.error or {}).get("message", "its report says why")
    return DatasetFailed(f"dataset {dataset.id} ({dataset.name}) failed: {why}", param="dataset")


def fail_for_dataset(session: Session, job_id: str, dataset_id: str) -> Job | None:
    """Fails a queued job whose dataset turned out invalid."""
    error = dataset_failed(session.get_one(Dataset, dataset_id, populate_existing=True))
    return move(
        session,
        "failed",
        Job.id == job_id,
        Job.status == "queued",
        event="job.failed",
        message=error.message,
        level="error",
        error=error.body(),
    )


def fail_dataset(session: Session, dataset_id: str, *, error: dict[str, Any], report: dict[str, Any] | None) -> bool:
    """Marks the dataset as failed and fails the queued jobs that wait for it; False when it was not validating."""
    statement = (
        sa.update(Dataset)
        .where(Dataset.id == dataset_id, Dataset.status == "validating")
        .values(status="failed", error=error, report=report)
        .returning(Dataset)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    if session.scalars(statement).one_or_none() is None:
        return False
    for job in waiting_jobs(session, dataset_id):
        fail_for_dataset(session, job.id, dataset_id)
    return True


def _ingest_ended(session: Session, job: Job) -> None:
    """An ingest that ended without a dataset must leave none that validates forever."""
    error = job.error or DatasetFailed(f"its ingest job {job.id} was cancelled").body()
    for dataset_id in session.scalars(sa.select(JobDataset.dataset_id).where(JobDataset.job_id == job.id)):
        fail_dataset(session, dataset_id, error=error, report=None)
