"""Jobs and all that they tell and keep: events, metrics, checkpoints; and batches, which jobs answer."""

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.registry.db import now
from app.registry.tables.base import Table


class Job(Table):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_status_queue", "status", "queue"),
        Index("ix_jobs_project_id_id", "project_id", "id"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    kind: Mapped[str]
    queue: Mapped[str]
    """train or data"""
    status: Mapped[str] = mapped_column(default="queued")
    requested: Mapped[str | None]
    """cancel or pause: what the owner asked of a running job"""
    cancelling_at: Mapped[float | None]
    """When it was asked to end while it was running."""
    retry_of: Mapped[str | None]
    base_version_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"))
    version_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"))
    """What it published."""
    output_file_id: Mapped[str | None]
    """What it wrote; no foreign key, since the file may be deleted."""
    request: Mapped[dict[str, Any]]
    """The body as it came, validated."""
    spec: Mapped[dict[str, Any] | None]
    """The request with every default and `auto` resolved; null until its datasets are ready."""
    choices: Mapped[list[Any] | None]
    """`{"key", "value", "reason"}` for everything resolved."""
    attempt: Mapped[int] = mapped_column(default=1)
    max_attempts: Mapped[int] = mapped_column(default=3)
    token: Mapped[int] = mapped_column(default=0)
    """Fencing token: grows by one at every claim."""
    lease_until: Mapped[float | None]
    worker: Mapped[str | None]
    rung_at: Mapped[float | None]
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any] | None]
    events: Mapped[int] = mapped_column(default=0)
    """Number of the last event."""
    revision: Mapped[int] = mapped_column(default=0)
    """Grows at every change of the row that a client can see: what those who wait are woken by."""
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    created_at: Mapped[float] = mapped_column(insert_default=now())
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]


class JobDataset(Table):
    __tablename__ = "job_datasets"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    weight: Mapped[float] = mapped_column(default=1.0)


class Event(Table):
    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    """`job.running`, `job.succeeded`, `message`, `checkpoint` …"""
    level: Mapped[str]
    """info, warn or error"""
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Metric(Table):
    __tablename__ = "metrics"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    split: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[float]
    value: Mapped[float | None]
    """Null when it was not finite."""
    finite: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Checkpoint(Table):
    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    token: Mapped[int]
    step: Mapped[int]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    size_bytes: Mapped[int]
    created_at: Mapped[float] = mapped_column(insert_default=now())
    write_seconds: Mapped[float | None]
    """How long its bytes took to the store."""


class Batch(Table):
    __tablename__ = "batches"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    endpoint: Mapped[str]
    input_file_id: Mapped[str] = mapped_column(ForeignKey("files.id"))
    output_file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    error_file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    status: Mapped[str]
    counts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    hashes: Mapped[dict[str, Any] | None]
    """sha256 of the answers and of the refusals so far, as the files that they will be."""
    errors: Mapped[dict[str, Any] | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    created_at: Mapped[float] = mapped_column(insert_default=now())
    expires_at: Mapped[float | None]
    finished_at: Mapped[float | None]
