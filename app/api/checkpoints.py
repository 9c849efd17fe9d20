"""The checkpoints of a job: those that are kept, and how one of them becomes a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response
from sqlalchemy.orm import Session

from app.api import serializers
from app.api.deps import CallerHere, PagingHere, Services, ServicesHere, guarded_router
from app.api.idempotency import HEADERS, Made, create
from app.api.job_schemas import CheckpointObject, JobObject
from app.api.jobs import IdempotentHere
from app.api.schemas import ListOf
from app.errors import WrongState
from app.ml.jobs.publish import PublishJob, PublishRequest
from app.registry import checkpoints, jobs, objects, overview
from app.registry.keys import Caller
from app.registry.tables import Checkpoint, Job

router = guarded_router("jobs")

LOST = ("failed", "cancelled")


@router.get("/v1/jobs/{job_id}/checkpoints", response_model=ListOf[CheckpointObject])
def list_checkpoints(job_id: str, here: ServicesHere, who: CallerHere, paging: PagingHere) -> dict[str, Any]:
    """The checkpoints that are kept, and which of them are models."""
    with here.database.reading() as session:
        jobs.get(session, who.project_id, job_id)
        found = checkpoints.list_page(session, job_id, **vars(paging))
        names = published(session, found.rows)
    return serializers.page_of(found, lambda row: serializers.checkpoint(row, names.get(row.id)))


@router.post("/v1/jobs/{job_id}/checkpoints/{checkpoint_id}/publish", response_model=JobObject, openapi_extra=HEADERS)
def publish_checkpoint(
    job_id: str, checkpoint_id: str, here: ServicesHere, ask: IdempotentHere, body: PublishRequest
) -> Response:
    """Queues a job of kind `publish` that makes a model of a checkpoint, whatever became of the training: it may still
    run, or have failed. What is published are the best weights until that step, as the training would have published
    them had it ended there; `metrics.checkpoint` says so, and they stand beside baselines as those of any model.

    Asked again for the same name, it gives the same job, unless that failed or its model was deleted. A checkpoint that
    is kept no longer is a 409 `checkpoint_gone`; one of step 0 has learned nothing and is a 409, too, and so is one
    whose dataset was deleted, since a model is judged and proved on its rows.
    """

    def make(session: Session) -> Made:
        job = publication(session, here, ask.caller, job_id, checkpoint_id, body)
        return Made(serializers.job(session, job), [(job.queue, job.id)] if job.status == "queued" else [])

    answer, _ = create(here, ask, 200, make)
    return answer


def published(session: Session, rows: Sequence[Checkpoint]) -> Mapping[str, str]:
    """Of those that are models: id to `name:number` of the newest version."""
    made = checkpoints.publications(session, [row.id for row in rows])
    names = overview.version_names(session, {job.version_id for job in made if job.version_id is not None})
    return {(job.spec or {})["checkpoint"]: names[job.version_id] for job in made if job.version_id is not None}


def publication(
    session: Session, here: Services, who: Caller, job_id: str, checkpoint_id: str, body: PublishRequest
) -> Job:
    """The job that makes the model, a new one or that which does so already. Raises NotFound and Conflict."""
    training = jobs.hold(session, who.project_id, job_id)  # so that no two ask at once, and nothing is dropped
    spec = training.spec or {}
    name: str = body.name or spec.get("name", "")
    for job in reversed(checkpoints.publications(session, [checkpoint_id])):
        asked = PublishJob.model_validate(job.spec)
        made = job.status != "succeeded" or job.version_id is not None
        if (asked.job, asked.name) == (job_id, name) and job.status not in LOST and made:
            return job
    found = checkpoints.get(session, job_id, checkpoint_id)
    if found.step == 0:
        raise WrongState(f"{checkpoint_id} is of step 0, where nothing has been learned; wait for a later one")
    used = [(row.dataset_id, row.weight) for row in jobs.datasets_of(session, job_id)]
    if len(used) < len(spec["datasets"]):
        raise WrongState(
            f"{checkpoint_id} cannot become a model: a dataset of {job_id} was deleted, on which it is judged"
        )
    what = PublishJob(job=job_id, checkpoint=checkpoint_id, step=found.step, name=name)
    job = jobs.create(
        session,
        project_id=who.project_id,
        kind=what.kind,
        queue="data",
        request=body.model_dump(mode="json", exclude_unset=True),
        spec=what.model_dump(mode="json"),
        choices=[],
        datasets=used,
        base_version_id=training.base_version_id,
        metadata=body.metadata,
        max_attempts=here.settings.max_attempts,
    )
    objects.hold(session, job.id, objects.held(session, checkpoint_id))
    return job
