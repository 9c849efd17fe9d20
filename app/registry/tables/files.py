"""Bytes in storage, who holds them, and the files and uploads that clients know them by."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.registry.db import now
from app.registry.tables.base import Table


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
