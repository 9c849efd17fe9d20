"""Models, their versions and aliases."""

from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.registry.db import now
from app.registry.tables.base import Table


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
