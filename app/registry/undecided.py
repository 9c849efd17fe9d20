"""Trainings that were asked for before their datasets were ready, and of which nobody has decided what they do.

Knows no reason for a decision.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry import jobs
from app.registry.names import reference
from app.registry.states import datasets_in, move
from app.registry.tables import Dataset, Job, Version

AT_ONCE = 100
OPEN = sa.cast(Job.spec, sa.Text) == "null"
"""A null as JSON has it, which is none of SQL's."""


@dataclass(frozen=True)
class Undecided:
    """What there is to decide by."""

    id: str
    request: dict[str, Any]
    profiles: list[dict[str, Any]]
    """Of its datasets, in order."""
    name: str
    """Of the first dataset."""
    base: dict[str, Any] | None
    """The base model's `reference` and `spec`."""


def waiting(session: Session) -> list[Undecided]:
    """The oldest of those that wait for a worker and no longer for data."""
    ready = datasets_in("ready") & ~datasets_in("validating") & ~datasets_in("failed")
    statement = sa.select(Job).where(Job.status == "queued", Job.queue == "train", OPEN, ready)
    found = session.scalars(statement.order_by(Job.id).limit(AT_ONCE)).all()
    return [_about(session, job) for job in found]


def _about(session: Session, job: Job) -> Undecided:
    used = [session.get_one(Dataset, row.dataset_id) for row in jobs.datasets_of(session, job.id)]
    base = session.get(Version, job.base_version_id) if job.base_version_id else None
    known = None if base is None else {"reference": reference(base), "spec": base.spec}
    return Undecided(job.id, job.request, [each.profile or {} for each in used], used[0].name, known)


def decide(session: Session, job_id: str, spec: dict[str, Any], choices: list[Any]) -> None:
    """Stores what the job will do, unless a worker has taken it, who decides for himself."""
    statement = sa.update(Job).where(_still(job_id)).values(spec=spec, choices=choices, revision=Job.revision + 1)
    session.execute(statement, execution_options={"synchronize_session": False})


def refuse(session: Session, job_id: str, error: dict[str, Any]) -> None:
    """Fails the job with `error`, the body of a named error, unless a worker has taken it, who finds the same."""
    how = {"event": "job.failed", "message": error["message"], "level": "error", "error": error}
    move(session, "failed", _still(job_id), **how)


def _still(job_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(Job.id == job_id, Job.status == "queued", OPEN)
