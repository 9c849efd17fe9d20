"""Jobs: asked for, listed, waited for, steered by their owners. What they tell on the way is in `job_history.py`."""

import hashlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import serializers
from app.api.conditional import CONDITIONS, Conditions, ConditionsHere, validators
from app.api.deps import (
    METADATA_FILTER,
    CallerHere,
    MetadataHere,
    PagingHere,
    Services,
    ServicesHere,
    asked_in,
    guarded_router,
)
from app.api.idempotency import HEADERS, IdempotentRequest, Made, create, idempotent_json_request, ring
from app.api.job_schemas import JobObject, JobStatus
from app.api.job_watch import Stamp, Watcher
from app.api.schemas import ListOf
from app.errors import DatasetFailed, NotFound
from app.ml.inference.abilities import lacking
from app.ml.jobs.embed import EmbedJob, role_read
from app.ml.jobs.evaluate import EvaluateJob, refusing, require_fit
from app.ml.jobs.network import NetworkSpec
from app.ml.jobs.train import TrainRequest
from app.ml.operations.embed import check_width
from app.ml.resolving.defaults import resolve
from app.registry import datasets, files, jobs, models
from app.registry.keys import Caller
from app.registry.states import dataset_failed
from app.registry.tables import Dataset, Job

router = guarded_router("jobs")

LONGEST_WAIT = 60
JobBody = Annotated[TrainRequest | EmbedJob | EvaluateJob, Field(discriminator="kind")]
IdempotentHere = Annotated[IdempotentRequest, Depends(idempotent_json_request)]


@router.post("/v1/jobs", response_model=JobObject, openapi_extra=HEADERS)
def create_job(body: JobBody, here: ServicesHere, ask: IdempotentHere) -> Response:
    """Queues a job: a training (`pretrain`, `finetune`), the embedding of a dataset (`embed`), or the evaluation of a
    model on a dataset (`evaluate`).

    What the body leaves open is decided from the dataset; the job shows each choice and its reason. The dataset may
    still be validating: then all is decided once it is ready.
    """

    def make(session: Session) -> Made:
        if isinstance(body, EmbedJob | EvaluateJob):
            return make_question(session, here, ask.caller, body)
        return make_training(session, here, ask.caller, body)

    answer, _ = create(here, ask, 200, make)
    return answer


def dataset_of(session: Session, who: Caller, dataset_id: str, param: str) -> Dataset:
    """The dataset that a job is to work on. Raises NotFound and DatasetFailed with `param`."""
    with asked_in(param):
        row = datasets.get(session, who.project_id, dataset_id)
    if row.status == "failed":
        raise DatasetFailed(f"{param}: {dataset_failed(row).message}", param=param)
    return row


def make_question(session: Session, here: Services, who: Caller, body: EmbedJob | EvaluateJob) -> Made:
    """A job that asks a model about a whole dataset."""
    version = models.resolve(session, who.project_id, body.model)
    if isinstance(body, EmbedJob) and "embed" not in version.abilities:
        raise lacking(models.reference(version), "embed", version.abilities)
    row = dataset_of(session, who, body.dataset, "dataset")
    spec = NetworkSpec.of(models.reference(version), version.spec, "model")
    if isinstance(body, EmbedJob) and body.dimensions is not None and version.dimensions is not None:
        check_width(body.dimensions, version.dimensions, spec.objective.shortest)
    if row.status == "ready":
        evaluating = isinstance(body, EvaluateJob)
        with refusing(models.reference(version), "be evaluated on" if evaluating else "embed", row.id):
            if evaluating:
                require_fit(spec.roles, row.profile or {})
            else:
                role_read(spec, row.profile or {})
    job = jobs.create(
        session,
        project_id=who.project_id,
        kind=body.kind,
        queue="data",
        request=body.model_dump(mode="json", exclude_unset=True),
        spec={**body.model_dump(mode="json", exclude={"metadata"}), "model": models.reference(version)},
        choices=[],
        datasets=[(body.dataset, 1.0)],
        base_version_id=version.id,
        metadata=body.metadata,
        max_attempts=here.settings.max_attempts,
    )
    return Made(serializers.job(session, job), [(job.queue, job.id)])


def make_training(session: Session, here: Services, who: Caller, body: TrainRequest) -> Made:
    rows = []
    for place, ref in enumerate(body.dataset_refs):
        param = "dataset" if body.dataset is not None else f"datasets[{place}].id"
        rows.append(dataset_of(session, who, ref.id, param))
    base = None
    if body.base_model is not None:
        try:
            base = models.resolve(session, who.project_id, body.base_model)
        except NotFound as error:
            error.param = "base_model"
            raise
        NetworkSpec.of(models.reference(base), base.spec, "base_model")
    asked = body.evaluation.model_dump(exclude_none=True) if body.evaluation is not None else {}
    for name, file_id in asked.items():
        with asked_in(f"evaluation.{name}"):
            files.get(session, who.project_id, file_id, kept=True)
    spec, choices = None, None
    if all(row.status == "ready" for row in rows):
        known = None if base is None else {"reference": models.reference(base), "spec": base.spec}
        resolved = resolve(body, [row.profile or {} for row in rows], known, name=body.name or rows[0].name)
        spec, choices = resolved.spec.model_dump(mode="json"), resolved.choices
    job = jobs.create(
        session,
        project_id=who.project_id,
        kind=body.kind,
        queue="train",
        request=body.model_dump(mode="json", exclude_unset=True),
        spec=spec,
        choices=choices,
        datasets=[(ref.id, ref.weight or 1.0) for ref in body.dataset_refs],
        base_version_id=None if base is None else base.id,
        metadata=body.metadata,
        max_attempts=here.settings.max_attempts,
    )
    return Made(serializers.job(session, job), [(job.queue, job.id)])


@router.get("/v1/jobs", response_model=ListOf[JobObject], openapi_extra=METADATA_FILTER, responses=CONDITIONS)
def list_jobs(
    here: ServicesHere,
    who: CallerHere,
    paging: PagingHere,
    metadata: MetadataHere,
    conditions: ConditionsHere,
    status: Annotated[JobStatus | None, Query()] = None,
    kind: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Lists the project's jobs."""
    with here.database.reading() as session:
        found = jobs.list_page(session, who.project_id, **vars(paging), status=status, kind=kind, metadata=metadata)
        body = serializers.page(serializers.jobs_page(session, found.rows), found.has_more)
    return tagged(body, conditions)


@router.get("/v1/jobs/{job_id}", response_model=JobObject, responses=CONDITIONS)
async def get_job(
    job_id: str,
    request: Request,
    here: ServicesHere,
    who: CallerHere,
    conditions: ConditionsHere,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="With `If-None-Match`: seconds to wait.")] = 0,
) -> Response:
    """A job's particulars. With `If-None-Match` and `wait`, answers as soon as the job has changed."""
    watcher: Watcher = request.app.state.watcher
    ends = time.monotonic() + wait
    answer, stamp = await run_in_threadpool(look, here, who, job_id, conditions)
    while answer.status_code == 304 and (left := ends - time.monotonic()) > 0:
        await watcher.changed(job_id, stamp, left)  # an event alone does not show here
        answer, stamp = await run_in_threadpool(look, here, who, job_id, conditions)
    return answer


def look(here: Services, who: Caller, job_id: str, conditions: Conditions) -> tuple[Response, Stamp]:
    """The job as it is, or a 304, and what a change can be told by."""
    with here.database.reading() as session:
        job = jobs.get(session, who.project_id, job_id)
        body = serializers.job(session, job)
    return tagged(body, conditions), Stamp(job.revision, job.events)


def tagged(body: dict[str, Any], conditions: Conditions) -> Response:
    """The answer, or a 304. The tag is made of all that is shown: a job's place in its queue stands in no row."""
    etag = f'"{hashlib.sha256(orjson.dumps(body)).hexdigest()[:32]}"'
    headers = validators(etag)
    if conditions.known(etag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(body, headers=headers)


@router.post("/v1/jobs/{job_id}/cancel", response_model=JobObject)
def cancel(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Cancels a job: at once when nobody works on it, else as soon as its worker has left it."""
    return steer(here, lambda session: jobs.ask(session, who.project_id, job_id, "cancel"))


@router.post("/v1/jobs/{job_id}/pause", response_model=JobObject)
def pause(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Pauses a job; a running one saves a checkpoint first."""
    return steer(here, lambda session: jobs.ask(session, who.project_id, job_id, "pause"))


@router.post("/v1/jobs/{job_id}/resume", response_model=JobObject)
def resume(job_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Queues a paused job again; it goes on from its newest checkpoint."""
    return steer(here, lambda session: jobs.resume(session, who.project_id, job_id))


def steer(here: Services, do: Callable[[Session], Job]) -> dict[str, Any]:
    with here.database.session() as session:
        job = do(session)
        body = serializers.job(session, job)
    if job.status == "queued":
        ring(here, [(job.queue, job.id)])
    return body


@router.post("/v1/jobs/{job_id}/retry", response_model=JobObject, openapi_extra=HEADERS)
def retry(job_id: str, here: ServicesHere, ask: IdempotentHere) -> Response:
    """Makes a new job that does what a failed or cancelled one was to do."""

    def make(session: Session) -> Made:
        job = jobs.retry(session, ask.caller.project_id, job_id)
        return Made(serializers.job(session, job), [(job.queue, job.id)])

    answer, _ = create(here, ask, 200, make)
    return answer
