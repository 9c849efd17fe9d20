"""What has been kept for as long as it was to be: found by rule, removed by the verb that anybody would use.

Models, versions, jobs and their events and metrics are never found, nor is what a dataset, a batch or a job that has
not ended still uses. Knows no storage: bytes that nothing holds any longer die in the sweep.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from app.errors import InUse, NotFound
from app.registry import checkpoints, datasets, files, uploads
from app.registry.db import now
from app.registry.moves import TERMINAL
from app.registry.tables import Batch, Checkpoint, Dataset, DatasetFile, File, Job, JobDataset, Upload, UploadPart

MOST = 1000
"""Of one kind in one list; what is beyond comes in the next."""

Found: TypeAlias = sa.Select[Any, Any, Any, Any]
"""Id, project, size in bytes (or null) and age in seconds."""


@dataclass(frozen=True)
class Due:
    """One thing that may go."""

    rule: str
    kind: str
    id: str
    project_id: str
    size_bytes: int
    age_seconds: float
    """Since it was made; of a checkpoint, since its job ended."""
    reason: str


@dataclass(frozen=True)
class Rule:
    """How long a kind of thing is kept, and how those that may go are found and removed."""

    name: str
    """That of the setting, without its unit."""
    reason: str
    found: Callable[[], Found]
    """Everything of this kind that nothing needs, whatever its age."""
    remove: Callable[[Session, Due], None]

    @property
    def kind(self) -> str:
        return self.name.rpartition("_")[2].removesuffix("s")


def due(session: Session, limits: dict[str, float | None], project_id: str | None = None) -> list[Due]:
    """Everything older than its rule's limit in seconds, oldest first within a rule; without a limit none.

    Of one project, or of all.
    """
    listed = []
    for rule in RULES:
        limit = limits.get(rule.name, 0.0)  # an upload knows itself when it expires
        if limit is None:
            continue
        found = rule.found().subquery()
        id, project, size, age = found.c
        statement = sa.select(id, project, size, age).where(age > limit).order_by(age.desc()).limit(MOST)
        if project_id is not None:
            statement = statement.where(project == project_id)
        rows = session.execute(statement)
        listed += [Due(rule.name, rule.kind, row[0], row[1], row[2] or 0, row[3], rule.reason) for row in rows]
    return listed


def remove(session: Session, each: Due) -> bool:
    """Removes one of them; False when it has gone, or has come into use since it was listed."""
    (rule,) = (rule for rule in RULES if rule.name == each.rule)
    with contextlib.suppress(InUse, NotFound):
        rule.remove(session, each)
        return True
    return False


def _unused_files() -> Found:
    named = sa.or_(Batch.input_file_id == File.id, Batch.output_file_id == File.id, Batch.error_file_id == File.id)
    return sa.select(File.id, File.project_id, File.size_bytes, (now() - File.created_at).label("age")).where(
        ~sa.exists().where(DatasetFile.file_id == File.id),
        ~sa.exists().where(named),
        ~sa.exists().where(files.needed_by_job(File.id)),
    )


def _idle_datasets(*where: sa.ColumnElement[bool]) -> Found:
    at_work = sa.exists().where(
        JobDataset.dataset_id == Dataset.id, JobDataset.job_id == Job.id, Job.status.not_in(TERMINAL)
    )
    age = (now() - Dataset.created_at).label("age")
    return sa.select(Dataset.id, Dataset.project_id, Dataset.size_bytes, age).where(~at_work, *where)


def _failed_datasets() -> Found:
    return _idle_datasets(Dataset.status == "failed")


def _superseded_datasets() -> Found:
    newer = aliased(Dataset)
    same = sa.and_(newer.project_id == Dataset.project_id, newer.name == Dataset.name)
    return _idle_datasets(
        Dataset.status == "ready", sa.exists().where(same, newer.status == "ready", newer.id > Dataset.id)
    )


def _checkpoints() -> Found:
    age = (now() - Job.finished_at).label("age")
    statement = sa.select(Checkpoint.id, Job.project_id, Checkpoint.size_bytes, age)
    return statement.join(Job, Job.id == Checkpoint.job_id).where(Job.status.in_(TERMINAL))


def _unfinished_uploads() -> Found:
    arrived = sa.select(sa.func.sum(UploadPart.size_bytes)).where(UploadPart.upload_id == Upload.id)
    age = (now() - Upload.created_at).label("age")
    return sa.select(Upload.id, Upload.project_id, arrived.scalar_subquery(), age).where(uploads.OVERDUE)


RULES: Iterable[Rule] = (
    Rule(
        "unfinished_uploads",
        "it was neither completed nor cancelled before it expired",
        _unfinished_uploads,
        lambda session, each: uploads.expire(session, each.id),
    ),
    Rule(
        "unused_files",
        "no dataset, no batch and no job that has not ended uses it",
        _unused_files,
        lambda session, each: files.delete(session, each.project_id, each.id),
    ),
    Rule(
        "failed_datasets",
        "it failed, and no job that has not ended uses it",
        _failed_datasets,
        lambda session, each: datasets.delete(session, each.project_id, each.id),
    ),
    Rule(
        "superseded_datasets",
        "a newer dataset of its name is ready, and no job that has not ended uses it",
        _superseded_datasets,
        lambda session, each: datasets.delete(session, each.project_id, each.id),
    ),
    Rule(
        "ended_checkpoints",
        "its job has ended",
        _checkpoints,
        lambda session, each: checkpoints.drop(session, each.id),
    ),
)
