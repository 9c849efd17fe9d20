"""The wire shapes of errors, lists, files and uploads; their docstrings are the API's documentation. Knows no row.

Datasets, jobs and models have files of their own; the shapes of plug-ins and of what the worker reads too live there.
"""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Purpose = Literal["fine-tune", "pretrain", "batch", "batch_output", "user_data"]
T = TypeVar("T")


class Wire(BaseModel):
    """Root of all answers."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorBody(Wire):
    """What was wrong."""

    message: str
    """What was wrong, its value, and what would be right."""
    type: str
    """The family of the error."""
    param: str | None
    """The key, field or parameter that is wrong."""
    code: str | None
    """The error's own name in snake_case: what a program should look at."""


class ErrorEnvelope(Wire):
    """The shape of every refusal."""

    error: ErrorBody


class ListOf(Wire, Generic[T]):
    """A page of a list."""

    # pydantic looks for the docstrings of every ListOf[…] in all loaded modules: eight of them cost a second at start
    model_config = ConfigDict(use_attribute_docstrings=False, json_schema_extra={"description": "A page of a list."})

    object: Literal["list"] = "list"
    data: list[T]
    first_id: str | None = Field(description="Of the first entry.")
    last_id: str | None = Field(description="Of the last entry: what `after` of the next page should be.")
    has_more: bool = Field(description="Whether another page follows.")


class Deleted(Wire):
    """What is gone."""

    id: str
    object: str
    deleted: Literal[True] = True


class FileObject(Wire):
    """Uploaded bytes, kept as they came."""

    id: str
    object: Literal["file"] = "file"
    filename: str
    purpose: str
    bytes: int
    """Size in bytes."""
    sha256: str
    """Hash of the content, in hexadecimal."""
    created_at: int
    expires_at: int | None = None
    """Always null: files stay until they are deleted, or a retention rule lets them go."""
    status: Literal["processed"] = "processed"


class UploadRequest(BaseModel):
    """What is to come in parts."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    filename: str = Field(min_length=1, max_length=255)
    purpose: Purpose
    bytes: int = Field(ge=1, strict=True)
    """Size of the whole file in bytes."""
    mime_type: str = Field(min_length=1, max_length=255)
    """Kept and returned; the content decides what the file is."""


class UploadCompletion(BaseModel):
    """Which parts make the file, and what must be true of it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    part_ids: list[str] = Field(min_length=1, max_length=10_000)
    """In the order of the file's bytes."""
    md5: str | None = Field(None, pattern=r"^[0-9A-Fa-f]{32}$")
    """Of the whole file, in hexadecimal."""
    sha256: str | None = Field(None, pattern=r"^[0-9A-Fa-f]{64}$")
    """Of the whole file, in hexadecimal."""


class UploadPartObject(Wire):
    """A part that has arrived."""

    id: str
    object: Literal["upload.part"] = "upload.part"
    upload_id: str
    """The upload that it belongs to."""
    bytes: int
    """Size in bytes."""
    sha256: str
    """Hash of the part, in hexadecimal."""
    created_at: int


class UploadObject(Wire):
    """A file that comes in parts."""

    id: str
    object: Literal["upload"] = "upload"
    filename: str
    purpose: str
    mime_type: str
    bytes: int
    """Size of the whole file in bytes, as it was announced."""
    status: Literal["pending", "completed", "cancelled", "expired"]
    parts: list[UploadPartObject]
    """Those that have arrived, oldest first."""
    file: FileObject | None
    """What became of it, once it is completed."""
    created_at: int
    expires_at: int
    """Unix time in seconds until which it can be completed."""
