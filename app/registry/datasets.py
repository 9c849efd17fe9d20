"""Datasets: made from files by an ingest job, immutable once ready. Knows no format and no row of data."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.registry import events, jobs
from app.registry import objects as stored
from app.registry.db import now
from app.registry.filters import metadata_equals
from app.registry.ids import new_id
from app.registry.metrics import finite
from app.registry.moves import TERMINAL
from app.registry.page import Page, behind, paginate
from app.registry.states import Fenced, fail_dataset
from app.registry.states import waiting_jobs as waiting_jobs
from app.registry.tables import Dataset, DatasetFile, File, Job, JobDataset


def create(
    session: Session,
    *,
    project_id: str,
    name: str,
    file_ids: Sequence[str],
    request: dict[str, Any],
    metadata: Mapping[str, Any],
    max_attempts: int,
) -> tuple[Dataset, Job]:
    """A dataset that is validating, and the ingest job that makes it.

    Raises NotFound for a file that the project does not have.
    """
    for file_id in file_ids:
        if session.scalar(sa.select(File.id).where(File.id == file_id, File.project_id == project_id)) is None:
            raise NotFound(f"no file {file_id!r}", param="files")
    dataset = Dataset(
        id=new_id("ds-"),
        project_id=project_id,
        name=name,
        status="validating",
        request=request,
        metadata_=dict(metadata),
    )
    session.add(dataset)
    session.flush()
    for position, file_id in enumerate(file_ids):
        session.add(DatasetFile(dataset_id=dataset.id, position=position, file_id=file_id))
    session.flush()
    ingest = jobs.create(
        session,
        project_id=project_id,
        kind="ingest",
        queue="data",
        request={"kind": "ingest", "dataset": dataset.id},
        datasets=[(dataset.id, 1.0)],
        max_attempts=max_attempts,
    )
    return dataset, ingest


def get(session: Session, project_id: str, dataset_id: str) -> Dataset:
    """The dataset. Raises NotFound, which gives the id to who asked for a name: many datasets may have that."""
    dataset = session.scalar(sa.select(Dataset).where(Dataset.id == dataset_id, Dataset.project_id == project_id))
    if dataset is None:
        called = sa.select(Dataset.id).where(Dataset.name == dataset_id, Dataset.project_id == project_id)
        newest = session.scalar(called.order_by(Dataset.id.desc()).limit(1))
        hint = "" if newest is None else f"; the newest that is called so has the id {newest}"
        raise NotFound(f"no dataset {dataset_id!r}{hint}")
    return dataset


def list_page(
    session: Session,
    project_id: str,
    *,
    limit: int,
    after: str | None,
    descending: bool,
    status: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Page[Dataset]:
    wanted = metadata_equals(Dataset.metadata_, metadata)
    statement = sa.select(Dataset).where(Dataset.project_id == project_id, *wanted)
    if status is not None:
        statement = statement.where(Dataset.status == status)
    return paginate(session, statement, Dataset.id, limit=limit, after=behind(after, "ds-"), descending=descending)


def ready(
    session: Session,
    dataset_id: str,
    *,
    profile: dict[str, Any],
    report: dict[str, Any],
    fingerprint: str,
    rows: int,
    modality: str,
    objects: Mapping[str, stored.Bytes],
) -> Dataset:
    """The dataset is whole; its ingest job succeeds in the same transaction.

    Raises Fenced when another attempt, or a cancel, has ended the validation already.
    """
    ingest = job(session, dataset_id)
    statement = (
        sa.update(Dataset)
        .where(Dataset.id == dataset_id, Dataset.status == "validating")
        .values(
            status="ready",
            profile=finite(profile),
            report=finite(report),
            fingerprint=fingerprint,
            rows=rows,
            modality=modality,
            size_bytes=stored.total_bytes(objects),
            ready_at=now(),
        )
        .returning(Dataset)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    dataset = session.scalars(statement).one_or_none()
    if dataset is None:
        raise Fenced(ingest.id, ingest.token)
    stored.hold(session, dataset_id, objects)
    events.add(session, ingest.id, type="dataset.ready", message=f"dataset {dataset_id} is ready: {rows} rows")
    return dataset


def tell_faults(session: Session, dataset_id: str, report: dict[str, Any]) -> None:
    """What is wrong so far with a dataset that is still validating."""
    validating = sa.update(Dataset).where(Dataset.id == dataset_id, Dataset.status == "validating")
    session.execute(validating.values(report=finite(report)), execution_options={"synchronize_session": False})


def failed(session: Session, dataset_id: str, *, error: dict[str, Any], report: dict[str, Any]) -> None:
    """The dataset is invalid; the queued jobs that wait for it fail. Its ingest job fails in the same transaction.

    Raises Fenced when another attempt, or a cancel, has ended the validation already.
    """
    ingest = job(session, dataset_id)
    if not fail_dataset(session, dataset_id, error=finite(error), report=finite(report)):
        raise Fenced(ingest.id, ingest.token)
    message = f"dataset {dataset_id} failed: {error['message']}"
    events.add(session, ingest.id, type="dataset.failed", message=message, level="error")


def delete(session: Session, project_id: str, dataset_id: str) -> None:
    """Removes a dataset; its bytes die in the sweep. Raises InUse while a job that has not ended needs it."""
    owned = sa.and_(Dataset.id == dataset_id, Dataset.project_id == project_id)
    dataset = session.scalar(sa.select(Dataset).where(owned).with_for_update())
    if dataset is None:
        raise NotFound(f"no dataset {dataset_id!r}")
    statement = (
        sa.select(Job.id)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.dataset_id == dataset_id, Job.status.not_in(TERMINAL))
    )
    user = session.scalar(statement.limit(1))
    if user is not None:
        raise InUse(f"dataset {dataset_id} is used by {user}, which has not ended; cancel that first")
    session.execute(sa.delete(JobDataset).where(JobDataset.dataset_id == dataset_id))
    session.execute(sa.delete(DatasetFile).where(DatasetFile.dataset_id == dataset_id))
    stored.release(session, dataset_id)
    session.delete(dataset)
    session.flush()


def files(session: Session, dataset_id: str) -> list[File]:
    """The files it is made from, in order."""
    statement = (
        sa.select(File)
        .join(DatasetFile, DatasetFile.file_id == File.id)
        .where(DatasetFile.dataset_id == dataset_id)
        .order_by(DatasetFile.position)
    )
    return list(session.scalars(statement))


def job(session: Session, dataset_id: str) -> Job:
    """The ingest job that makes it: the newest, when the first was retried."""
    statement = (
        sa.select(Job)
        .join(JobDataset, JobDataset.job_id == Job.id)
        .where(JobDataset.dataset_id == dataset_id, Job.kind == "ingest")
        .order_by(Job.id.desc())
    )
    found = session.scalar(statement.limit(1))
    if found is None:
        raise NotFound(f"no dataset {dataset_id!r}")
    return found
