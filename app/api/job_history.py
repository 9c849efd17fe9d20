"""What a job tells: events as a list and as a stream, and metrics."""

import re
from collections.abc import AsyncIterator
from itertools import takewhile
from typing import Annotated, Any, Literal

import orjson
from fastapi import Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from app.api import serializers
from app.api.deps import After, CallerHere, Services, ServicesHere, guarded_router
from app.api.job_schemas import JobEvent, MetricPoint
from app.api.job_watch import Stamp, Watcher
from app.api.negotiation import chosen
from app.api.schemas import ListOf
from app.errors import UnknownChoice, WrongType
from app.registry import events, jobs, metrics
from app.registry.moves import TERMINAL

router = guarded_router("jobs")

HEARTBEAT_SECONDS = 15.0
AT_ONCE = 500
"""Events read at once for a stream."""
SPARE = 1000
"""A page of metrics may be longer than its limit by this, so that it ends with a whole step."""
LARGEST = 2**53
EVENTS = "text/event-stream"
CURVES, CURVES_OF_ONE = ("train", "validation"), "validation:"
"""Splits that curves are of; the latter goes before the id of one of a job's several datasets."""
STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or with `Accept: text/event-stream` a stream that ends with `data: [DONE]`.",
        "content": {EVENTS: {"schema": {"type": "string"}}},
    }
}


@router.get("/v1/jobs/{job_id}/events", response_model=ListOf[JobEvent], responses=STREAM)
async def list_events(
    job_id: str,
    request: Request,
    here: ServicesHere,
    who: CallerHere,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    after: Annotated[After, Query(description="Number or id of an event.")] = None,
    order: Annotated[Literal["asc", "desc"], Query()] = "asc",
    last_event_id: Annotated[str | None, Header(description="Where a stream goes on; wins over `after`.")] = None,
) -> Response:
    """What has happened to a job. As a stream it goes on until the job has ended, and can be taken up anywhere."""
    start = None if after is None else number(after, "after")
    if chosen(request.headers.get("accept", ""), [EVENTS]) is None:
        return JSONResponse(await run_in_threadpool(page, here, who.project_id, job_id, limit, start, order == "desc"))
    if last_event_id is not None:
        start = number(last_event_id, "Last-Event-ID")
    await run_in_threadpool(look, here, who.project_id, job_id, 0)
    told = tell(here, request.app.state.watcher, who.project_id, job_id, start or 0)
    headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return StreamingResponse(told, media_type=EVENTS, headers=headers)


def number(given: str, param: str) -> int:
    """Of `7` or `evt-…-7`."""
    match = re.fullmatch(r"(?:evt-[0-9a-z]+-)?(\d{1,15})", given, re.ASCII)
    if match is None:
        raise WrongType(f"{param} is {given!r}; the number or the id of an event is right", param=param)
    return int(match[1])


def page(here: Services, project_id: str, job_id: str, limit: int, after: int | None, descending: bool) -> Any:
    with here.database.reading() as session:
        jobs.get(session, project_id, job_id)
        found = events.list_page(session, job_id, limit=limit, after=after, descending=descending)
    return serializers.page_of(found, serializers.event)


def look(here: Services, project_id: str, job_id: str, after: int) -> tuple[list[dict[str, Any]], bool, Stamp]:
    """Events behind `after`, whether no more will come, and what a change can be told by."""
    with here.database.reading() as session:
        job = jobs.get(session, project_id, job_id)  # before its events: a terminal state commits with its event
        told = [serializers.event(row) for row in events.after(session, job_id, after, AT_ONCE)]
    ended = job.status in TERMINAL and len(told) < AT_ONCE
    return told, ended, Stamp(job.revision, job.events)


async def tell(here: Services, watcher: Watcher, project_id: str, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Server-sent events, with a comment as heartbeat whenever nothing has happened for a while."""
    while True:
        told, ended, stamp = await run_in_threadpool(look, here, project_id, job_id, after)
        for event in told:
            after = event["number"]
            yield b"id: %d\ndata: %b\n\n" % (after, orjson.dumps(event))
        if ended:
            yield b"data: [DONE]\n\n"
            return
        if len(told) < AT_ONCE and not await watcher.changed(job_id, stamp, HEARTBEAT_SECONDS):
            yield b": still here\n\n"


@router.get("/v1/jobs/{job_id}/metrics", response_model=ListOf[MetricPoint])
def list_metrics(
    job_id: str,
    here: ServicesHere,
    who: CallerHere,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rounded up to whole steps.")] = 1000,
    after: Annotated[int | None, Query(ge=-1, le=LARGEST, description="Step behind which the page begins.")] = None,
    split: Annotated[
        str | None,
        Query(max_length=64, description="`train`, `validation`, or `validation:<dataset>` where a job has several."),
    ] = None,
    name: Annotated[str | None, Query(max_length=128)] = None,
) -> dict[str, Any]:
    """The curves of a job, by step; the ids of this list are steps."""
    if split is not None and split not in CURVES and not split.startswith(CURVES_OF_ONE):
        known = "'train', 'validation', or 'validation:<dataset>' where a job has several"
        raise UnknownChoice(f"split {split!r} is unknown; choose one of {known}", param="split")
    with here.database.reading() as session:
        jobs.get(session, who.project_id, job_id)
        rows = metrics.series(session, job_id, limit=limit + SPARE, after_step=after, split=split, name=name)
    last = rows[limit - 1].step if len(rows) >= limit else None
    whole = rows if last is None else list(takewhile(lambda row: row.step <= last, rows))
    return serializers.page([serializers.metric(row) for row in whole], len(whole) < len(rows), "step")
