"""Projects, their keys, what they have created, and the revision that empties caches."""

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.registry.db import now
from app.registry.tables.base import Table


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
