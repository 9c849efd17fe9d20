"""Rows as clients see them. Reads what belongs to a page of rows in a few statements, and changes nothing."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.api.dataset_schemas import DatasetObject
from app.api.job_schemas import CheckpointObject, JobEvent, JobObject, MetricPoint, Progress, Weighted
from app.api.schemas import FileObject, UploadObject, UploadPartObject, Wire
from app.registry import files, overview, uploads
from app.registry.moves import TERMINAL
from app.registry.page import Page
from app.registry.tables import Checkpoint, Dataset, Event, File, Job, Metric, Upload, UploadPart

R = TypeVar("R")


def page(rows: Sequence[dict[str, Any]], has_more: bool, identity: str = "id") -> dict[str, Any]:
    """The envelope of a list; `identity` is the key that `after` refers to."""
    ends = [str(rows[place][identity]) for place in (0, -1)] if rows else [None, None]
    return {"object": "list", "data": list(rows), "first_id": ends[0], "last_id": ends[1], "has_more": has_more}


def page_of(found: Page[R], show: Callable[[R], dict[str, Any]], identity: str = "id") -> dict[str, Any]:
    return page([show(row) for row in found.rows], found.has_more, identity)


def seconds(time: float | None) -> int | None:
    return None if time is None else int(time)


def wire(shape: Wire) -> dict[str, Any]:
    return shape.model_dump(mode="json")


def file(row: File) -> dict[str, Any]:
    return wire(
        FileObject(
            id=row.id,
            filename=row.filename,
            purpose=row.purpose,
            bytes=row.size_bytes,
            sha256=row.sha256,
            created_at=int(row.created_at),
            expires_at=seconds(row.expires_at),
        )
    )


def part(row: UploadPart) -> dict[str, Any]:
    return wire(
        UploadPartObject(
            id=row.id,
            upload_id=row.upload_id,
            bytes=row.size_bytes,
            sha256=row.sha256,
            created_at=int(row.created_at),
        )
    )


def upload(session: Session, row: Upload) -> dict[str, Any]:
    return wire(
        UploadObject.model_validate(
            {
                "id": row.id,
                "filename": row.filename,
                "purpose": row.purpose,
                "mime_type": row.mime_type,
                "bytes": row.size_bytes,
                "status": uploads.status(session, row),
                "parts": [part(each) for each in uploads.parts(session, row.id)],
                "file": None if row.file_id is None else file(files.get(session, row.project_id, row.file_id)),
                "created_at": int(row.created_at),
                "expires_at": int(row.expires_at),
            }
        )
    )


def datasets(session: Session, rows: Sequence[Dataset]) -> list[dict[str, Any]]:
    ids = [row.id for row in rows]
    files, ingests = overview.files_of(session, ids), overview.ingests_of(session, ids)
    return [
        wire(
            DatasetObject.model_validate(
                {
                    "id": row.id,
                    "name": row.name,
                    "status": row.status,
                    "job": ingests.get(row.id),
                    "files": files[row.id],
                    "modality": row.modality,
                    "rows": row.rows,
                    "splits": (row.profile or {}).get("splits"),
                    "fingerprint": row.fingerprint,
                    "size_bytes": row.size_bytes,
                    "request": row.request,
                    "error": row.error,
                    "metadata": row.metadata_,
                    "created_at": int(row.created_at),
                    "ready_at": seconds(row.ready_at),
                }
            )
        )
        for row in rows
    ]


def dataset(session: Session, row: Dataset) -> dict[str, Any]:
    return datasets(session, [row])[0]


def jobs_page(session: Session, rows: Sequence[Job]) -> list[dict[str, Any]]:
    used = overview.datasets_of(session, [row.id for row in rows])
    versions = {version for row in rows for version in (row.base_version_id, row.version_id) if version is not None}
    names = overview.version_names(session, versions)
    positions = overview.queue_positions(session, [row.id for row in rows if row.status == "queued"])
    return [_job(row, [each.dataset_id for each in used[row.id]], names, positions.get(row.id)) for row in rows]


def job(session: Session, row: Job) -> dict[str, Any]:
    return jobs_page(session, [row])[0]


def _job(row: Job, used: list[str], names: dict[str, str], position: int | None) -> dict[str, Any]:
    progress = Progress.model_validate(row.progress)
    if row.status == "succeeded":  # it told how far it was once a second, and not at its end
        progress = progress.model_copy(update={"percentage_done": 100.0, "estimated_remaining_seconds": 0.0})
    shares = {each["id"]: each.get("weight") for each in (row.spec or row.request).get("datasets") or []}
    return wire(
        JobObject.model_validate(
            {
                "id": row.id,
                "kind": row.kind,
                "status": row.status,
                "terminal": row.status in TERMINAL,
                "requested": row.requested,
                "retry_of": row.retry_of,
                "created_at": int(row.created_at),
                "started_at": seconds(row.started_at),
                "finished_at": seconds(row.finished_at),
                "queue_position": position,
                "attempt": row.attempt,
                "dataset": used[0] if used else None,
                "datasets": [Weighted(id=dataset_id, weight=shares.get(dataset_id)) for dataset_id in used],
                "base_model": names.get(row.base_version_id or ""),
                "request": row.request,
                "spec": row.spec,
                "choices": row.choices,
                "model": names.get(row.version_id or ""),
                "output_file": row.output_file_id,
                "progress": progress,
                "metrics": row.metrics,
                "error": row.error,
                "metadata": row.metadata_,
            }
        )
    )


def event(row: Event) -> dict[str, Any]:
    return wire(
        JobEvent(
            id=f"evt-{row.job_id.removeprefix('job-')}-{row.number}",
            number=row.number,
            type=row.type,
            level=row.level,
            message=row.message,
            data=row.data,
            created_at=int(row.created_at),
        )
    )


def metric(row: Metric) -> dict[str, Any]:
    shape = MetricPoint(
        step=row.step, epoch=row.epoch, split=row.split, name=row.name, value=row.value, finite=row.finite
    )
    return wire(shape)


def checkpoint(row: Checkpoint, model: str | None) -> dict[str, Any]:
    """`model` is what it was published as."""
    return wire(
        CheckpointObject(
            id=row.id,
            job=row.job_id,
            step=row.step,
            model=model,
            metrics=row.metrics,
            size_bytes=row.size_bytes,
            write_seconds=row.write_seconds,
            created_at=int(row.created_at),
        )
    )
