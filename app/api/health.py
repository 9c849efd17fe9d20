"""Whether the process lives, whether it can work, and its numbers in Prometheus' text format."""

import logging
import shutil
from collections.abc import Callable
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from sqlalchemy.exc import SQLAlchemyError

from app.api.deps import Services, ServicesHere, guarded_router
from app.api.schemas import ErrorEnvelope, Wire
from app.api.telemetry import Telemetry, family, histogram
from app.disk import has_room
from app.errors import NotReady
from app.queue import trouble
from app.registry import overview

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])
guarded = guarded_router("health")

UNREADY: dict[int | str, dict[str, Any]] = {503: {"model": ErrorEnvelope, "description": "Something does not answer."}}


class Alive(Wire):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Alive):
    """The process can answer."""

    full: list[str]
    """Disks without room, of `home`, `database`, `storage`: models answer, uploads and new jobs are refused (507)."""


class Health(Wire):
    """What the service stands on."""

    status: Literal["ok", "degraded"]
    """`degraded` with a 503 where something does not answer, with a 200 where a disk is full and nothing else is."""
    version: str
    checks: dict[str, str]
    """`database`, `broker`, `storage`, `room`: `ok`, or what is wrong."""


def check_database(here: Services) -> None:
    try:
        missing = here.database.lacks()
    except SQLAlchemyError as error:
        log.error("the database does not answer: %s", error)  # its address is nobody's business who has no key
        raise NotReady("the database does not answer") from error
    if missing is not None:
        raise NotReady(missing)


def check_broker(here: Services) -> None:
    if here.settings.broker_url is None:
        raise NotReady("no broker is configured: set ROOTSTOCK_BROKER_URL")
    if told := trouble(here.settings.broker_url):
        raise NotReady(told)


def check_storage(here: Services) -> None:
    here.storage.check()


CHECKS: dict[str, Callable[[Services], None]] = {
    "database": check_database,
    "broker": check_broker,
    "storage": check_storage,
}


def disks(here: Services) -> dict[str, Path]:
    """What this process writes to, where that is a folder."""
    folders = {"home": here.settings.folder, "database": here.database.folder, "storage": here.storage.folder}
    return {name: folder for name, folder in folders.items() if folder is not None and folder.is_dir()}


def full(here: Services) -> list[str]:
    """The disks without room: the service answers all the same, and takes nothing new."""
    return [name for name, folder in disks(here).items() if not has_room(folder)]


@router.get("/livez", response_model=Alive)
async def livez() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=Readiness, responses=UNREADY)
def readyz(here: ServicesHere) -> dict[str, Any]:
    """Database, broker and storage answer; a 503 names what does not.

    A full disk is no reason to ask another process, which has no other disk: it is named beside a 200.
    """
    for check in CHECKS.values():
        check(here)
    return {"status": "ok", "full": full(here)}


@router.get("/health", response_model=Health, responses={503: {"model": Health}})
def health(here: ServicesHere) -> Response:
    """Every check with its outcome."""
    outcomes = {}
    for name, check in CHECKS.items():
        try:
            check(here)
            outcomes[name] = "ok"
        except NotReady as error:
            outcomes[name] = error.message
    answers = set(outcomes.values()) == {"ok"}
    without = full(here)
    outcomes["room"] = f"there is none left on the disk of {', '.join(without)}" if without else "ok"
    good = answers and not without
    body = Health(status="ok" if good else "degraded", version=version("rootstock"), checks=outcomes)
    return JSONResponse(body.model_dump(), 200 if answers else 503)


SERVING = {
    "rootstock_inference_waiting": "Questions to models that are being answered or wait for it.",
    "rootstock_inference_refused_total": "Questions that were told 429.",
    "rootstock_inference_queue_length": "Questions that wait for the thread of their model.",
    "rootstock_models_loaded": "Models in memory.",
    "rootstock_inference_loads_total": "Models that were loaded.",
    "rootstock_inference_load_seconds_total": "Time that loading them took.",
    "rootstock_inference_batches_total": "Batches that were computed.",
    "rootstock_inference_batch_rows_total": "Items in those batches.",
    "rootstock_inference_requests_total": "Questions that were answered.",
    "rootstock_inference_items_total": "Items in those questions.",
}
"""What this process counts of the models that it serves."""

CHECKPOINTS = {
    "rootstock_checkpoint_write_seconds": "What the newest checkpoint of a running job took, the slowest one.",
    "rootstock_checkpoint_age_seconds": "Age of the newest checkpoint of a running job, the oldest one.",
}

DISKS: list[tuple[str, str, Callable[[Any], int]]] = [
    ("rootstock_disk_free_bytes", "What can be written yet to the disk of that folder.", attrgetter("free")),
    ("rootstock_disk_size_bytes", "What that disk holds in all.", attrgetter("total")),
]


@guarded.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request, here: ServicesHere) -> str:
    """Numbers of this process, and of the jobs that all processes share."""
    telemetry: Telemetry = request.app.state.telemetry
    with here.database.reading() as session:
        census, waits = overview.census(session), overview.longest_waits(session)
        working, checkpoints = overview.under_way(session), overview.newest_checkpoints(session)
    lines = telemetry.lines()
    counted = [({"kind": kind, "status": status}, float(count)) for kind, status, count in census]
    lines += family("rootstock_jobs", "gauge", "Jobs by kind and status.", counted)
    oldest = [({"queue": queue}, seconds) for queue, seconds in waits]
    lines += family("rootstock_queue_wait_seconds", "gauge", "Age of the oldest job that could run.", oldest)
    rates = [({"kind": each.kind}, each.samples_per_second) for each in working]
    lines += family("rootstock_job_samples_per_second", "gauge", "Rows that running jobs learn from or answer.", rates)
    lease = here.settings.lease_seconds
    ages = [({"kind": each.kind}, max(0.0, lease - each.lease_seconds_left)) for each in working]
    lines += family("rootstock_lease_age_seconds", "gauge", "Since the most silent worker of a job was heard.", ages)
    for (name, text), value in zip(CHECKPOINTS.items(), checkpoints, strict=True):
        lines += family(name, "gauge", text, [] if value is None else [({}, value)])
    usage = {name: shutil.disk_usage(folder) for name, folder in disks(here).items()}
    for name, text, each in DISKS:
        lines += family(name, "gauge", text, [({"disk": disk}, float(each(used))) for disk, used in usage.items()])
    for name, value in here.serving.metrics().items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += family(name, kind, SERVING[name], [({}, value)])
    stages = here.serving.counters.stages().items()
    labelled = [({"stage": stage}, found) for stage, found in stages]
    lines += histogram("rootstock_inference_seconds", "Stages of requests to models.", labelled)
    return "\n".join(lines) + "\n"
