"""The first tables."""

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | None = None


def columns(type_: Any, *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, type_, nullable=nullable) for name in names]


text = partial(columns, sa.Text())
whole = partial(columns, sa.BigInteger().with_variant(sa.Integer(), "sqlite"))
real = partial(columns, sa.Double())
json = partial(columns, sa.JSON().with_variant(JSONB(), "postgresql"))
flag = partial(columns, sa.Boolean())


def refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")


def upgrade() -> None:
    op.create_table(
        "objects",
        *text("key", "sha256"),
        *whole("size_bytes"),
        *real("created_at"),
        sa.PrimaryKeyConstraint("key", name="pk_objects"),
    )
    op.create_index("ix_objects_sha256", "objects", ["sha256"])
    op.create_table(
        "projects",
        *text("id", "name"),
        *real("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_table(
        "registry_revision",
        *whole("id", "number"),
        sa.PrimaryKeyConstraint("id", name="pk_registry_revision"),
    )
    op.create_table(
        "api_keys",
        *text("id", "project_id", "name", "prefix", "sha256"),
        *real("created_at"),
        *json("scopes"),
        *real("revoked_at", nullable=True),
        refers("api_keys", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("prefix", name="uq_api_keys_prefix"),
    )
    op.create_table(
        "datasets",
        *text("id", "project_id", "name", "status"),
        *real("created_at"),
        *json("request", "metadata"),
        *text("modality", "fingerprint", nullable=True),
        *whole("rows", "size_bytes", nullable=True),
        *real("ready_at", nullable=True),
        *json("profile", "report", "error", nullable=True),
        refers("datasets", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_fingerprint", "datasets", ["fingerprint"])
    op.create_index("ix_datasets_project_id", "datasets", ["project_id"])
    op.create_table(
        "files",
        *text("id", "project_id", "filename", "purpose", "sha256"),
        *whole("size_bytes"),
        *real("created_at"),
        *real("expires_at", nullable=True),
        refers("files", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_project_id", "files", ["project_id"])
    op.create_index("ix_files_sha256", "files", ["sha256"])
    op.create_table(
        "links",
        *text("owner", "name", "key"),
        *whole("position"),
        refers("links", "key", "objects.key"),
        sa.PrimaryKeyConstraint("owner", "name", "position", name="pk_links"),
    )
    op.create_index("ix_links_key", "links", ["key"])
    op.create_table(
        "models",
        *text("id", "project_id", "name", "description"),
        *whole("last_version"),
        *real("created_at"),
        *json("metadata"),
        refers("models", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("project_id", "name", name="uq_models_project_id_name"),
    )
    op.create_table(
        "create_requests",
        *text("id", "project_id", "api_key_id", "route", "body_sha256"),
        *whole("status"),
        *real("created_at"),
        *json("response"),
        *flag("matched"),
        *text("key", nullable=True),
        *whole("retry_count", nullable=True),
        refers("create_requests", "api_key_id", "api_keys.id"),
        refers("create_requests", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_create_requests"),
        sa.UniqueConstraint("project_id", "route", "key", name="uq_create_requests_project_id_route_key"),
    )
    op.create_index("ix_create_requests_retry", "create_requests", ["api_key_id", "route", "body_sha256"])
    op.create_table(
        "dataset_files",
        *text("dataset_id", "file_id"),
        *whole("position"),
        refers("dataset_files", "dataset_id", "datasets.id"),
        refers("dataset_files", "file_id", "files.id"),
        sa.PrimaryKeyConstraint("dataset_id", "position", name="pk_dataset_files"),
    )
    op.create_index("ix_dataset_files_file_id", "dataset_files", ["file_id"])
    op.create_table(
        "uploads",
        *text("id", "project_id", "filename", "purpose", "mime_type", "status"),
        *whole("size_bytes"),
        *real("created_at", "expires_at"),
        *text("file_id", nullable=True),
        refers("uploads", "file_id", "files.id"),
        refers("uploads", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_project_id", "uploads", ["project_id"])
    op.create_table(
        "versions",
        *text("id", "model_id", "modality"),
        *whole("number", "parameters", "size_bytes"),
        *real("created_at"),
        *json("spec", "abilities", "metrics", "datasets", "engine"),
        *text("job_id", "parent_id", nullable=True),
        *whole("dimensions", nullable=True),
        refers("versions", "model_id", "models.id"),
        refers("versions", "parent_id", "versions.id"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
    )
    op.create_index("ix_versions_job_id", "versions", ["job_id"])
    op.create_index("ix_versions_parent_id", "versions", ["parent_id"])
    op.create_table(
        "aliases",
        *text("model_id", "name", "version_id"),
        *real("updated_at"),
        refers("aliases", "model_id", "models.id"),
        refers("aliases", "version_id", "versions.id"),
        sa.PrimaryKeyConstraint("model_id", "name", name="pk_aliases"),
    )
    op.create_index("ix_aliases_version_id", "aliases", ["version_id"])
    op.create_table(
        "jobs",
        *text("id", "project_id", "kind", "queue", "status"),
        *whole("attempt", "max_attempts", "token", "events", "revision"),
        *real("created_at"),
        *json("request", "progress", "metrics", "metadata"),
        *text("requested", "retry_of", "base_version_id", "version_id", "worker", nullable=True),
        *real("lease_until", "rung_at", "started_at", "finished_at", nullable=True),
        *json("spec", "choices", "error", nullable=True),
        refers("jobs", "base_version_id", "versions.id"),
        refers("jobs", "project_id", "projects.id"),
        refers("jobs", "version_id", "versions.id"),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_project_id_id", "jobs", ["project_id", "id"])
    op.create_index("ix_jobs_status_queue", "jobs", ["status", "queue"])
    op.create_table(
        "upload_parts",
        *text("id", "upload_id", "sha256"),
        *whole("size_bytes"),
        *real("created_at"),
        refers("upload_parts", "upload_id", "uploads.id"),
        sa.PrimaryKeyConstraint("id", name="pk_upload_parts"),
    )
    op.create_index("ix_upload_parts_upload_id", "upload_parts", ["upload_id"])
    op.create_table(
        "batches",
        *text("id", "project_id", "endpoint", "input_file_id", "status"),
        *real("created_at"),
        *json("counts", "metadata"),
        *text("job_id", "output_file_id", "error_file_id", nullable=True),
        *real("expires_at", "finished_at", nullable=True),
        *json("errors", nullable=True),
        refers("batches", "error_file_id", "files.id"),
        refers("batches", "input_file_id", "files.id"),
        refers("batches", "job_id", "jobs.id"),
        refers("batches", "output_file_id", "files.id"),
        refers("batches", "project_id", "projects.id"),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    op.create_index("ix_batches_project_id", "batches", ["project_id"])
    op.create_table(
        "checkpoints",
        *text("id", "job_id"),
        *whole("token", "step", "size_bytes"),
        *real("created_at"),
        *json("metrics"),
        refers("checkpoints", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoints"),
    )
    op.create_index("ix_checkpoints_job_id", "checkpoints", ["job_id"])
    op.create_table(
        "events",
        *text("job_id", "type", "level", "message"),
        *whole("number"),
        *real("created_at"),
        *json("data"),
        refers("events", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_events"),
    )
    op.create_table(
        "job_datasets",
        *text("job_id", "dataset_id"),
        *whole("position"),
        *real("weight"),
        refers("job_datasets", "dataset_id", "datasets.id"),
        refers("job_datasets", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_job_datasets"),
    )
    op.create_index("ix_job_datasets_dataset_id", "job_datasets", ["dataset_id"])
    op.create_table(
        "metrics",
        *text("job_id", "split", "name"),
        *whole("step"),
        *real("epoch", "created_at"),
        *flag("finite"),
        *real("value", nullable=True),
        refers("metrics", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "step", "split", "name", name="pk_metrics"),
    )
    op.execute("insert into registry_revision (id, number) values (1, 0)")


def downgrade() -> None:
    tables = (
        "metrics job_datasets events checkpoints batches upload_parts jobs aliases versions uploads "
        "dataset_files create_requests models links files datasets api_keys registry_revision projects "
        "objects"
    )
    for table in tables.split():
        op.drop_table(table)
