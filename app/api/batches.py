"""Batches in OpenAI's shape: a file of requests, answered by a job on a worker, never beside those who wait."""

import codecs
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.api import serializers
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
from app.api.idempotency import HEADERS, Made, create
from app.api.inference import OPERATIONS
from app.api.jobs import IdempotentHere, steer
from app.api.schemas import Deleted, ListOf, Wire
from app.errors import Malformed, NotFound, RootstockError, UnknownChoice
from app.registry import batches, files, jobs, objects, overview
from app.registry.tables import Batch, Job

router = guarded_router("batches")

STATUSES = {"queued": "validating", "running": "in_progress", "paused": "in_progress", "succeeded": "completed"}
"""Of the job to those of a batch; the others are called the same."""


class BatchRequest(BaseModel):
    """A file of requests to one endpoint."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    input_file_id: str
    """JSON lines: `{"custom_id", "method": "POST", "url", "body"}`."""
    endpoint: str
    """Path that all requests ask: `/v1/embeddings` …"""
    completion_window: Literal["24h"] = "24h"
    """Taken and not used: a batch is answered as soon as a worker is free."""
    output_format: Literal["jsonl", "parquet"] = "jsonl"
    """Of the file of answers. Parquet has a row per item: `custom_id`, `index` and `embedding` (float32), of other
    endpoints `answer` (the item as JSON). Refusals are JSON lines in any case."""
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None


class Counts(Wire):
    """How many requests there are so far, and how they ended."""

    total: int
    """Requests in the file."""
    completed: int
    """Those that were answered."""
    failed: int
    """Those that were refused."""


class BatchObject(Wire):
    """A file of requests and what became of it."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    """The path that every request asks."""
    input_file_id: str
    """The file of requests."""
    completion_window: str = "24h"
    """For the SDK's sake: batches are answered as soon as a worker is free."""
    status: str
    job: str
    """The job that answers it, which can be paused and followed like any other."""
    output_file_id: str | None
    """Answers, in the order of the requests; of a batch that was cancelled or failed, those so far, as JSON lines."""
    error_file_id: str | None
    """Refusals, each with its `custom_id`; null when there are none."""
    errors: dict[str, Any] | None
    """What was wrong with the file as a whole; null where nothing was."""
    request_counts: Counts
    """How many requests there are and what became of them."""
    created_at: int
    in_progress_at: int | None
    completed_at: int | None
    failed_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    metadata: dict[str, str]


@router.post("/v1/batches", response_model=BatchObject, openapi_extra=HEADERS)
def create_batch(body: BatchRequest, here: ServicesHere, ask: IdempotentHere) -> Response:
    """Queues a batch."""
    known = [operation.path for operation in OPERATIONS if operation.of_items]
    if body.endpoint not in known:
        raise UnknownChoice(
            f"endpoint: {body.endpoint!r} is unknown; choose one of {', '.join(known)}", param="endpoint"
        )

    fault = fault_in(here, ask.caller.project_id, body.input_file_id)  # before the transaction: a store may be slow

    def make(session: Session) -> Made:
        if fault is not None:  # a repeated request has had its answer, whatever became of the file
            raise fault
        with asked_in("input_file_id"):
            batch, job = batches.create(
                session,
                project_id=ask.caller.project_id,
                endpoint=body.endpoint,
                input_file_id=body.input_file_id,
                metadata=body.metadata or {},
                output_format=body.output_format,
                max_attempts=here.settings.max_attempts,
            )
        return Made(show(batch, job), [(job.queue, job.id)])

    answer, _ = create(here, ask, 200, make)
    return answer


def fault_in(here: Services, project_id: str, file_id: str) -> RootstockError | None:
    """Why the file can be no batch's: it does not begin as a request does, or cannot be read now."""
    try:
        with here.database.reading() as session:
            file = files.get(session, project_id, file_id)
            content = objects.held(session, file.id)[files.CONTENT]
        chunks = here.storage.open(content)
        begins = next((chunk.removeprefix(codecs.BOM_UTF8).lstrip() for chunk in chunks if chunk.strip()), b"")
    except NotFound:
        return None  # said where the batch is made
    except RootstockError as error:
        return error
    if not begins or begins.startswith(b"{"):
        return None
    return Malformed(
        f"input_file_id: {file.filename} begins with {begins[:40].decode(errors='replace')!r}, and requests are "
        'JSON lines: {"custom_id": "1", "body": {"model": …, "input": …}}; to embed the rows of a table or texts, '
        "make a dataset of them and a job of kind embed",
        param="input_file_id",
    )


@router.get("/v1/batches", response_model=ListOf[BatchObject], openapi_extra=METADATA_FILTER)
def list_batches(here: ServicesHere, who: CallerHere, paging: PagingHere, metadata: MetadataHere) -> dict[str, Any]:
    """Lists the project's batches."""
    with here.database.reading() as session:
        found = batches.list_page(session, who.project_id, **vars(paging), metadata=metadata)
        answering = overview.by_id(session, Job, [row.job_id or "" for row in found.rows])
        return serializers.page([show(row, answering[row.job_id or ""]) for row in found.rows], found.has_more)


@router.get("/v1/batches/{batch_id}", response_model=BatchObject)
def get_batch(batch_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """A batch's particulars."""
    with here.database.reading() as session:
        batch = batches.get(session, who.project_id, batch_id)
        return show(batch, jobs.get(session, who.project_id, batch.job_id or ""))


@router.post("/v1/batches/{batch_id}/cancel", response_model=BatchObject)
def cancel(batch_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Cancels a batch; what was answered so far is in its `output_file_id`."""

    def do(session: Session) -> Job:
        batch = batches.get(session, who.project_id, batch_id)
        return jobs.ask(session, who.project_id, batch.job_id or "", "cancel")

    steer(here, do)
    return get_batch(batch_id, here, who)


@router.delete("/v1/batches/{batch_id}", response_model=Deleted)
def delete_batch(batch_id: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Deletes a batch that has ended, so that its files may be deleted; a 409 while it is being answered."""
    with here.database.session() as session:
        batches.delete(session, who.project_id, batch_id)
    return {"id": batch_id, "object": "batch", "deleted": True}


def show(batch: Batch, job: Job) -> dict[str, Any]:
    ended = {job.status: serializers.seconds(job.finished_at)}
    cancelling = job.requested == "cancel" and job.status == "running"
    errors = None
    if job.error is not None:
        entry = {"code": job.error["code"], "message": job.error["message"], "param": job.error["param"], "line": None}
        errors = {"object": "list", "data": [entry]}
    return serializers.wire(
        BatchObject(
            id=batch.id,
            endpoint=batch.endpoint,
            input_file_id=batch.input_file_id,
            status="cancelling" if cancelling else STATUSES.get(job.status, job.status),
            job=job.id,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            errors=errors,
            request_counts=Counts.model_validate(batch.counts),
            created_at=int(batch.created_at),
            in_progress_at=serializers.seconds(job.started_at),
            completed_at=ended.get("succeeded"),
            failed_at=ended.get("failed"),
            cancelling_at=serializers.seconds(job.cancelling_at) or ended.get("cancelled"),
            cancelled_at=ended.get("cancelled"),
            metadata=batch.metadata_,
        )
    )
