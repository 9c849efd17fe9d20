"""The jobs: made, found, steered by their owners. Knows no lease and no broker.

Every change of state is a `states.move`; every change that a client can see makes the job's revision grow.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotFound, WrongState
from app.registry import events
from app.registry.db import now
from app.registry.filters import metadata_equals
from app.registry.ids import new_id
from app.registry.moves import TERMINAL
from app.registry.page import Page, behind, paginate
from app.registry.states import dataset_failed, lock, move
from app.registry.tables import Dataset, Job, JobDataset

ENDS = {"cancel": "cancelled", "pause": "paused"}


def create(
    session: Session,
    *,
    project_id: str,
    kind: str,
    queue: str,
    request: dict[str, Any],
    spec: dict[str, Any] | None = None,
    choices: list[Any] | None = None,
    datasets: Sequence[tuple[str, float]] = (),
    base_version_id: str | None = None,
    retry_of: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    max_attempts: int = 3,
) -> Job:
    """Queues a job on `datasets`, pairs of id and weight, which may still be validating.

    Raises NotFound for a dataset that the project does not have, DatasetFailed for one that turned out invalid.
    """
    for dataset_id, _ in datasets:
        statement = sa.select(Dataset.status).where(Dataset.id == dataset_id, Dataset.project_id == project_id)
        status = session.scalar(statement)
        if status is None:
            raise NotFound(f"no dataset {dataset_id!r}", param="dataset")
        if status == "failed" and kind != "ingest":
            raise dataset_failed(session.get_one(Dataset, dataset_id))
    job = Job(
        id=new_id("job-"),
        project_id=project_id,
        kind=kind,
        queue=queue,
        request=request,
        spec=spec,
        choices=choices,
        base_version_id=base_version_id,
        retry_of=retry_of,
        metadata_=dict(metadata or {}),
        max_attempts=max_attempts,
    )
    session.add(job)
    session.flush()
    for position, (dataset_id, weight) in enumerate(datasets):
        session.add(JobDataset(job_id=job.id, position=position, dataset_id=dataset_id, weight=weight))
    events.add(session, job.id, type="job.created", message=f"{kind} job queued")
    session.refresh(job)
    return job


def get(session: Session, project_id: str, job_id: str) -> Job:
    job = session.scalar(sa.select(Job).where(Job.id == job_id, Job.project_id == project_id))
    if job is None:
        other = ", which is an id of fine-tuning jobs: among all jobs it begins with job-"
        raise NotFound(f"no job {job_id!r}{other if job_id.startswith('ftjob-') else ''}")
    return job


def load(session: Session, job_id: str) -> Job:
    """The job for its worker, whatever its project."""
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(f"no job {job_id!r}")
    return job


def list_page(
    session: Session,
    project_id: str,
    *,
    limit: int,
    after: str | None,
    descending: bool,
    status: str | None = None,
    kind: str | None = None,
    based: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Page[Job]:
    """`based` takes trainings with a base model alone."""
    statement = sa.select(Job).where(Job.project_id == project_id, *metadata_equals(Job.metadata_, metadata))
    if status is not None:
        statement = statement.where(Job.status == status)
    if kind is not None:
        statement = statement.where(Job.kind == kind)
    if based:
        statement = statement.where(Job.base_version_id.is_not(None), Job.kind.in_(("pretrain", "finetune")))
    return paginate(session, statement, Job.id, limit=limit, after=behind(after, "job-"), descending=descending)


def datasets_of(session: Session, job_id: str) -> list[JobDataset]:
    """The job's datasets with their weights, in order."""
    statement = sa.select(JobDataset).where(JobDataset.job_id == job_id).order_by(JobDataset.position)
    return list(session.scalars(statement))


def ask(session: Session, project_id: str, job_id: str, what: Literal["cancel", "pause"]) -> Job:
    """Cancels or pauses the job: at once when nobody works on it, else by a request to its worker.

    A request to cancel replaces one to pause, never the other way round.
    """
    job = hold(session, project_id, job_id)
    if job.status == ENDS[what]:
        return job
    if job.status == "running":
        if job.requested == "cancel" and what == "pause":
            raise WrongState(f"{job_id} is being cancelled; it cannot be paused")
        return job if job.requested == what else _request(session, job, what)
    if job.status in TERMINAL:
        raise WrongState(f"{job_id} is {job.status}; only a job that has not ended can be {ENDS[what]}")
    return _moved(session, job, ENDS[what], event=f"job.{ENDS[what]}", message=f"{ENDS[what]} as requested")


def resume(session: Session, project_id: str, job_id: str) -> Job:
    """Queues a paused job; takes a request to pause back as long as its worker has not followed it."""
    job = hold(session, project_id, job_id)
    if job.status == "paused":
        return _moved(session, job, "queued", event="job.resumed", message="queued again as requested")
    if job.status in TERMINAL:
        raise WrongState(f"{job_id} is {job.status}; only a paused job can be resumed")
    if job.requested == "cancel":
        raise WrongState(f"{job_id} is being cancelled; it cannot be resumed")
    return _request(session, job, None) if job.requested == "pause" else job


def retry(session: Session, project_id: str, job_id: str) -> Job:
    """A new job that does what a failed or cancelled one was to do; while that one has not ended, the same again."""
    job = hold(session, project_id, job_id)
    if job.status not in ("failed", "cancelled"):
        raise WrongState(f"{job_id} is {job.status}; only a failed or cancelled job can be retried")
    statement = sa.select(Job).where(Job.retry_of == job_id, Job.status.not_in(TERMINAL)).limit(1)
    existing = session.scalar(statement)
    if existing is not None:
        return existing
    if job.kind == "batch":
        raise WrongState(f"{job_id} belongs to a batch, which keeps what it was answered; make another of the rest")
    if job.kind == "publish":
        raise WrongState(f"{job_id} no longer holds its checkpoint; publish that again")
    datasets = [(row.dataset_id, row.weight) for row in datasets_of(session, job_id)]
    if job.kind != "import" and len(datasets) < max(1, len(job.request.get("datasets") or [])):
        raise WrongState(f"{job_id} cannot be retried: a dataset of it was deleted")
    needed = job.request.get("base_model") or job.request.get("model")
    if needed is not None and job.base_version_id is None:  # another model may have its name now
        raise WrongState(f"{job_id} cannot be retried: its model {needed!r} was deleted")
    if job.kind == "ingest":
        failed = sa.update(Dataset).where(Dataset.id == datasets[0][0], Dataset.status == "failed")
        again = failed.values(status="validating", error=None, report=None).returning(Dataset.id)
        if session.scalar(again, execution_options={"synchronize_session": "fetch"}) is None:
            raise WrongState(f"{job_id} cannot be retried: dataset {datasets[0][0]} is no longer failed")
    return create(
        session,
        project_id=project_id,
        kind=job.kind,
        queue=job.queue,
        request=job.request,
        spec=job.spec,
        choices=job.choices,
        datasets=datasets,
        base_version_id=job.base_version_id,
        retry_of=job.id,
        metadata=job.metadata_,
        max_attempts=job.max_attempts,
    )


def hold(session: Session, project_id: str, job_id: str) -> Job:
    """The job, which nobody changes before the transaction ends."""
    job = lock(session, Job.id == job_id, Job.project_id == project_id)
    if job is None:
        raise NotFound(f"no job {job_id!r}")
    return job


def _moved(session: Session, job: Job, to: str, **how: Any) -> Job:
    moved = move(session, to, Job.id == job.id, Job.status == job.status, **how)
    assert moved is not None, f"{job.id} changed although its row was held"
    return moved


def _request(session: Session, job: Job, what: str | None) -> Job:
    job.requested = what
    if what == "cancel":
        job.cancelling_at = now()
    job.revision += 1
    session.flush()
    return job
