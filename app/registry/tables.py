"""The tables. All times are unix seconds by the database's clock; all sizes are bytes.

Ids are a prefix and a ULID (26 characters that sort by creation time), so a list is a range of the primary key.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.registry.db import now

Json = sa.JSON().with_variant(JSONB(), "postgresql")


class Table(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy on the class
        dict[str, Any]: Json,
        list[Any]: Json,
        float: sa.Double(),
        int: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        str: sa.Text(),
    }


class Project(Table):
    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[float] = mapped_column(insert_default=now())


class ApiKey(Table):
    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    prefix: Mapped[str] = mapped_column(unique=True)
    sha256: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[float] = mapped_column(insert_default=now())
    revoked_at: Mapped[float | None]


class StoredObject(Table):
    """Bytes in storage that some row may name. Written before the row, removed after it."""

    __tablename__ = "objects"
    key: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Link(Table):
    """`owner` (the id of a file, part, dataset, checkpoint or version) holds the object `key` under `name`."""

    __tablename__ = "links"
    owner: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, default=0)
    key: Mapped[str] = mapped_column(ForeignKey("objects.key"), index=True)
    object: Mapped[StoredObject] = relationship(lazy="joined")


class File(Table):
    __tablename__ = "files"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    size_bytes: Mapped[int]
    sha256: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float] = mapped_column(insert_default=now())
    expires_at: Mapped[float | None]


class Upload(Table):
    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    mime_type: Mapped[str]
    size_bytes: Mapped[int]
    status: Mapped[str]
    """pending, completed, cancelled or expired"""
    file_id: Mapped[str | None] = mapped_column(ForeignKey("files.id"))
    created_at: Mapped[float] = mapped_column(insert_default=now())
    expires_at: Mapped[float]


class UploadPart(Table):
    __tablename__ = "upload_parts"
    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)
    size_bytes: Mapped[int]
    sha256: Mapped[str]
    position: Mapped[int | None]
    """Its place in the file of a completed upload; null where it was not named."""
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Dataset(Table):
    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    name: Mapped[str]
    status: Mapped[str]
    """validating, ready or failed"""
    request: Mapped[dict[str, Any]]
    """What the client asked for: modality, columns, format, split, cleaning."""
    modality: Mapped[str | None]
    profile: Mapped[dict[str, Any] | None]
    report: Mapped[dict[str, Any] | None]
    """`{"total": n, "faults": [first 1,000]}`"""
    error: Mapped[dict[str, Any] | None]
    fingerprint: Mapped[str | None] = mapped_column(index=True)
    """sha256 over the content: equal fingerprints mean equal rows, columns and splits."""
    rows: Mapped[int | None]
    size_bytes: Mapped[int | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    created_at: Mapped[float] = mapped_column(insert_default=now())
    ready_at: Mapped[float | None]


class DatasetFile(Table):
    __tablename__ = "dataset_files"
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), index=True)


class Model(Table):
    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("project_id", "name"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    last_version: Mapped[int] = mapped_column(default=0)
    """The highest number ever given; a deleted version's number is never given again."""
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Version(Table):
    """A published artifact: `name:number`."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("model_id", "number"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"))
    number: Mapped[int]
    job_id: Mapped[str | None] = mapped_column(index=True)
    """The job that made it; no foreign key, since a job may be deleted and an import has none."""
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"), index=True)
    spec: Mapped[dict[str, Any]]
    modality: Mapped[str]
    dimensions: Mapped[int | None]
    abilities: Mapped[list[Any]]
    metrics: Mapped[dict[str, Any]]
    """Held-out metrics with their baselines."""
    datasets: Mapped[list[Any]]
    """`{"id", "fingerprint", "weight"}` of every dataset it was trained on."""
    parameters: Mapped[int]
    size_bytes: Mapped[int]
    engine: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(insert_default=now())
    model: Mapped[Model] = relationship(lazy="joined")


class Alias(Table):
    __tablename__ = "aliases"
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"), index=True)
    updated_at: Mapped[float] = mapped_column(insert_default=now())


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


class CreateRequest(Table):
    """A POST that created something and its answer, so that a repetition gets the same answer."""

    __tablename__ = "create_requests"
    __table_args__ = (
        UniqueConstraint("project_id", "route", "key"),
        Index("ix_create_requests_retry", "api_key_id", "route", "body_sha256"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    api_key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    route: Mapped[str]
    key: Mapped[str | None]
    """The Idempotency-Key; null for a stock SDK's request, which counts its retries instead."""
    body_sha256: Mapped[str]
    retry_count: Mapped[int | None]
    matched: Mapped[bool] = mapped_column(default=False)
    """True once a retry has been answered with this row."""
    status: Mapped[int]
    response: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(insert_default=now())


class Revision(Table):
    """One row, whose number grows whenever a name, alias or key changes: caches of every process empty themselves."""

    __tablename__ = "registry_revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
