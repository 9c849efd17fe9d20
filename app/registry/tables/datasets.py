"""Datasets and the files that they are made from."""

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.registry.db import now
from app.registry.tables.base import Table


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
