"""What a list or a dashboard wants of many rows at once, each in one statement. Changes nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.registry.checkpoints import NEWEST_FIRST
from app.registry.db import now
from app.registry.names import DEFAULT
from app.registry.tables import Alias, Checkpoint, Dataset, DatasetFile, Job, JobDataset, Model, Version

Row = TypeVar("Row", Dataset, Job)


def stamps(session: Session, job_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """Revision and number of the last event of each job."""
    statement = sa.select(Job.id, Job.revision, Job.events).where(Job.id.in_(job_ids))
    return {row.id: (row.revision, row.events) for row in session.execute(statement)}


def by_id(session: Session, kind: type[Row], ids: Collection[str]) -> dict[str, Row]:
    """The rows that there are of `ids`."""
    return {row.id: row for row in session.scalars(sa.select(kind).where(kind.id.in_(ids)))}


def queue_positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """1 for the job that is next in its queue; those that are not queued are left out."""
    earlier = aliased(Job)
    before = sa.select(sa.func.count()).where(
        earlier.status == "queued", earlier.queue == Job.queue, earlier.id <= Job.id
    )
    statement = sa.select(Job.id, before.scalar_subquery()).where(Job.id.in_(job_ids), Job.status == "queued")
    return {row[0]: row[1] for row in session.execute(statement)}


def datasets_of(session: Session, job_ids: Collection[str]) -> dict[str, list[JobDataset]]:
    """Each job's datasets, in order."""
    found: dict[str, list[JobDataset]] = {job_id: [] for job_id in job_ids}
    statement = sa.select(JobDataset).where(JobDataset.job_id.in_(job_ids)).order_by(JobDataset.position)
    for row in session.scalars(statement):
        found[row.job_id].append(row)
    return found


def version_names(session: Session, version_ids: Collection[str]) -> dict[str, str]:
    """Version id → `name:number`."""
    statement = sa.select(Version.id, Model.name, Version.number).join(Model).where(Version.id.in_(version_ids))
    return {row.id: f"{row.name}:{row.number}" for row in session.execute(statement)}


def defaults_of(session: Session, model_ids: Collection[str]) -> dict[str, Version]:
    """The version that each model's bare name means."""
    statement = sa.select(Version).join(Alias, Alias.version_id == Version.id).where(Alias.name == DEFAULT)
    return {row.model_id: row for row in session.scalars(statement.where(Alias.model_id.in_(model_ids)))}


def files_of(session: Session, dataset_ids: Collection[str]) -> dict[str, list[str]]:
    """Each dataset's file ids, in order."""
    found: dict[str, list[str]] = {dataset_id: [] for dataset_id in dataset_ids}
    statement = sa.select(DatasetFile).where(DatasetFile.dataset_id.in_(dataset_ids)).order_by(DatasetFile.position)
    for row in session.scalars(statement):
        found[row.dataset_id].append(row.file_id)
    return found


def ingests_of(session: Session, dataset_ids: Collection[str]) -> dict[str, str]:
    """Each dataset's newest ingest job."""
    statement = (
        sa.select(JobDataset.dataset_id, sa.func.max(Job.id))
        .join(Job, Job.id == JobDataset.job_id)
        .where(JobDataset.dataset_id.in_(dataset_ids), Job.kind == "ingest")
        .group_by(JobDataset.dataset_id)
    )
    return {row[0]: row[1] for row in session.execute(statement)}


def census(session: Session) -> list[tuple[str, str, int]]:
    """Kind, status and number of jobs."""
    statement = sa.select(Job.kind, Job.status, sa.func.count()).group_by(Job.kind, Job.status)
    return [(kind, status, count) for kind, status, count in session.execute(statement.order_by(Job.kind, Job.status))]


def longest_waits(session: Session) -> list[tuple[str, float]]:
    """Queue and seconds since its oldest waiting job was made; jobs whose dataset is not ready do not count."""
    unready = sa.exists().where(
        JobDataset.job_id == Job.id,
        JobDataset.dataset_id == Dataset.id,
        Dataset.status != "ready",
        Job.kind != "ingest",
    )
    statement = (
        sa.select(Job.queue, now() - sa.func.min(Job.created_at))
        .where(Job.status == "queued", ~unready)
        .group_by(Job.queue)
        .order_by(Job.queue)
    )
    return [(queue, float(seconds)) for queue, seconds in session.execute(statement)]


@dataclass(frozen=True)
class UnderWay:
    """The running jobs of one kind, together."""

    kind: str
    samples_per_second: float
    lease_seconds_left: float
    """Of the one whose lease ends first; negative once it should have been taken back."""


def under_way(session: Session) -> list[UnderWay]:
    """What runs now."""
    rate = sa.func.coalesce(sa.func.sum(Job.progress["samples_per_second"].as_float()), 0.0)
    statement = sa.select(Job.kind, rate, sa.func.min(Job.lease_until) - now()).where(Job.status == "running")
    return [UnderWay(*row) for row in session.execute(statement.group_by(Job.kind).order_by(Job.kind))]


def newest_checkpoints(session: Session) -> tuple[float | None, float | None]:
    """Of the running jobs' newest checkpoints: seconds that the slowest one took to write, and age of the oldest."""
    newest = sa.func.row_number().over(partition_by=Checkpoint.job_id, order_by=NEWEST_FIRST)
    running = sa.select(Checkpoint.write_seconds, Checkpoint.created_at, newest.label("place")).join(Job)
    each = running.where(Job.status == "running").subquery()
    statement = sa.select(sa.func.max(each.c.write_seconds), now() - sa.func.min(each.c.created_at))
    slowest, oldest = session.execute(statement.where(each.c.place == 1)).one()
    return slowest, oldest
