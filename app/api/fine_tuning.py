"""Fine-tuning in OpenAI's shape: the same jobs, seen through the stock SDK. `ftjob-X` is the job `job-X`.

`training_file` becomes a dataset on the way, `validation_file` its validation split; the labels decide what is learned.
"""

from typing import Annotated, Any

from fastapi import Query, Response
from sqlalchemy.orm import Session

from app.api import serializers
from app.api.checkpoints import published
from app.api.deps import (
    METADATA_FILTER,
    After,
    CallerHere,
    MetadataHere,
    PagingHere,
    Services,
    ServicesHere,
    asked_in,
    guarded_router,
)
from app.api.fine_tuning_schemas import FineTuningCheckpoint, FineTuningEvent, FineTuningJob, FineTuningRequest
from app.api.idempotency import HEADERS, Made, create
from app.api.job_history import number
from app.api.jobs import IdempotentHere, make_training, steer
from app.api.schemas import ListOf
from app.dataset_options import DatasetOptions
from app.errors import NotFound
from app.ml.jobs.train import TrainRequest
from app.registry import checkpoints, datasets, events, files, jobs, models, overview
from app.registry.keys import Caller
from app.registry.tables import Checkpoint, Dataset, Event, Job, Version

router = guarded_router("fine-tuning")

PREFIX = "ftjob-"
PATH = "/v1/fine_tuning/jobs"


@router.post(PATH, response_model=FineTuningJob, openapi_extra=HEADERS)
def create_fine_tuning(body: FineTuningRequest, here: ServicesHere, ask: IdempotentHere) -> Response:
    """Fine-tunes a model on a file of labelled rows. The file is checked first: `validating_files` meanwhile."""
    answer, _ = create(here, ask, 200, lambda session: make(session, here, ask.caller, body))
    return answer


def make(session: Session, here: Services, who: Caller, body: FineTuningRequest) -> Made:
    base = models.resolve(session, who.project_id, body.model)
    given = {"training_file": body.training_file, "validation_file": body.validation_file}
    for param, file_id in given.items():
        if file_id is not None:
            with asked_in(param):
                if file_id.startswith("ds-"):
                    raise NotFound(f"no file {file_id!r}, which is a dataset: POST /v1/jobs fine-tunes on those")
                files.get(session, who.project_id, file_id)
    split = None
    if body.validation_file is not None:
        split = {"files": {"train": [body.training_file], "validation": [body.validation_file]}}
    options = DatasetOptions.model_validate(
        {"files": [file_id for file_id in given.values() if file_id], "modality": reads(base), "split": split}
    )
    name = body.suffix or f"{base.model.name[:60]}-ft"
    dataset, ingest = datasets.create(
        session,
        project_id=who.project_id,
        name=name,
        file_ids=options.files,
        request=options.stored(),
        metadata={},
        max_attempts=here.settings.max_attempts,
    )
    request = TrainRequest.model_validate(
        {
            "kind": "finetune",
            "dataset": dataset.id,
            "name": name,
            "base_model": models.reference(base),
            "training": body.training(),
            "metadata": body.metadata or {},
        }
    )
    made = make_training(session, here, who, request)
    job = jobs.get(session, who.project_id, made.body["id"])
    return Made(shown_as(session, [job])[0], [(ingest.queue, ingest.id), *made.rings])


def reads(base: Version) -> str:
    """The modality of data for a model: `auto`, by their content, where its roles differ in it, as a voice's do."""
    read = {part["modality"]["name"] for role, part in base.spec["roles"].items() if role != "target"}
    return base.modality if len(read) == 1 else "auto"


@router.get(PATH, response_model=ListOf[FineTuningJob], openapi_extra=METADATA_FILTER)
def list_fine_tunings(
    here: ServicesHere, who: CallerHere, paging: PagingHere, metadata: MetadataHere
) -> dict[str, Any]:
    """Lists the jobs that have a base model."""
    after = None if paging.after is None else own(paging.after)
    with here.database.reading() as session:
        found = jobs.list_page(
            session,
            who.project_id,
            limit=paging.limit,
            after=after,
            descending=paging.descending,
            based=True,
            metadata=metadata,
        )
        return serializers.page(shown_as(session, found.rows), found.has_more)


@router.get(PATH + "/{job_id}", response_model=FineTuningJob)
def get_fine_tuning(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """A job's particulars."""
    with here.database.reading() as session:
        return shown_as(session, [find(session, who, job_id)])[0]


@router.post(PATH + "/{job_id}/cancel", response_model=FineTuningJob)
def cancel(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Cancels a job."""
    steer(here, lambda session: jobs.ask(session, who.project_id, find(session, who, job_id).id, "cancel"))
    return get_fine_tuning(job_id, here, who)


@router.post(PATH + "/{job_id}/pause", response_model=FineTuningJob)
def pause(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Pauses a job; a running one saves a checkpoint first."""
    steer(here, lambda session: jobs.ask(session, who.project_id, find(session, who, job_id).id, "pause"))
    return get_fine_tuning(job_id, here, who)


@router.post(PATH + "/{job_id}/resume", response_model=FineTuningJob)
def resume(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Queues a paused job again."""
    steer(here, lambda session: jobs.resume(session, who.project_id, find(session, who, job_id).id))
    return get_fine_tuning(job_id, here, who)


@router.get(PATH + "/{job_id}/events", response_model=ListOf[FineTuningEvent])
def list_events(
    job_id: str,
    here: ServicesHere,
    who: CallerHere,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after: Annotated[After, Query(description="Id of an event.")] = None,
) -> dict[str, Any]:
    """What has happened to a job, the newest first."""
    with here.database.reading() as session:
        job = find(session, who, job_id)
        start = None if after is None else number(after, "after")
        found = events.list_page(session, job.id, limit=limit, after=start, descending=True)
    return serializers.page_of(found, event)


@router.get(PATH + "/{job_id}/checkpoints", response_model=ListOf[FineTuningCheckpoint])
def list_checkpoints(
    job_id: str,
    here: ServicesHere,
    who: CallerHere,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    after: Annotated[After, Query(description="Id of a checkpoint.")] = None,
) -> dict[str, Any]:
    """The checkpoints that are kept, the newest first."""
    with here.database.reading() as session:
        job = find(session, who, job_id)
        found = checkpoints.list_page(session, job.id, limit=limit, after=after, descending=True)
        names = published(session, found.rows)
    return serializers.page_of(found, lambda row: checkpoint(row, names.get(row.id)))


def own(job_id: str) -> str:
    """Our id of `ftjob-X`; raises NotFound for what is none."""
    if not job_id.startswith(PREFIX):
        raise NotFound(f"no fine-tuning job {job_id!r}; their ids begin with {PREFIX}")
    return "job-" + job_id.removeprefix(PREFIX)


def find(session: Session, who: Caller, job_id: str) -> Job:
    job = jobs.get(session, who.project_id, own(job_id))
    if job.request.get("base_model") is None:
        raise NotFound(f"job {job.id} has no base model; ask for it under /v1/jobs")
    return job


def shown_as(session: Session, rows: list[Job]) -> list[dict[str, Any]]:
    """Jobs in OpenAI's shape."""
    used = overview.datasets_of(session, [row.id for row in rows])
    versions = {version for row in rows for version in (row.base_version_id, row.version_id) if version is not None}
    names = overview.version_names(session, versions)
    first = {row.id: used[row.id][0].dataset_id for row in rows if used[row.id]}
    datasets = overview.by_id(session, Dataset, set(first.values()))
    return [serializers.wire(FineTuningJob.of(row, datasets.get(first.get(row.id, "")), names)) for row in rows]


def event(row: Event) -> dict[str, Any]:
    plain = serializers.event(row)
    return serializers.wire(
        FineTuningEvent(
            id=plain["id"],
            created_at=plain["created_at"],
            level=row.level,
            message=row.message,
            data={"type": row.type, **row.data},
        )
    )


def checkpoint(row: Checkpoint, model: str | None) -> dict[str, Any]:
    return serializers.wire(
        FineTuningCheckpoint(
            id=row.id,
            created_at=int(row.created_at),
            fine_tuned_model_checkpoint=model or f"{row.job_id}:ckpt-step-{row.step}",
            fine_tuning_job_id=PREFIX + row.job_id.removeprefix("job-"),
            metrics={"step": row.step, "full_valid_loss": row.metrics.get("validation_loss"), **row.metrics},
            step_number=row.step,
        )
    )
