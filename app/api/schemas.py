"""The wire shapes of the native resources; their docstrings are the API's documentation. Knows no row.

Jobs and models have files of their own; the shapes of plug-ins and of what the worker reads too live there.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.dataset_options import DatasetOptions
from app.validation import NAME

Purpose = Literal["fine-tune", "pretrain", "batch", "batch_output", "user_data"]
DatasetStatus = Literal["validating", "ready", "failed"]
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


class DatasetRequest(DatasetOptions):
    """What is to be made from uploaded files."""

    name: str = Field(pattern=NAME)
    """Need not be unique; models trained on it take this name by default."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""


class DatasetObject(Wire):
    """An immutable, validated, typed table."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    """As it was asked for; need not be unique."""
    status: DatasetStatus
    """`validating` while its job looks at every row, then `ready` or `failed`."""
    job: str | None
    """The `ingest` job that makes it."""
    files: list[str]
    """Ids of the files it is made from."""
    modality: str | None
    """Known once it is ready."""
    rows: int | None
    """Of all splits; null until it is ready."""
    splits: dict[str, int] | None
    """Rows of each split."""
    fingerprint: str | None
    """Equal fingerprints mean equal rows, columns and splits."""
    size_bytes: int | None
    request: dict[str, Any]
    """What was asked for, with defaults."""
    error: ErrorBody | None
    metadata: dict[str, str]
    created_at: int
    ready_at: int | None


class Profile(Wire):
    """What is in a dataset: besides these keys one for every role (`input`, `source`, `left` …), with its name in the
    files, its modality and its shape or its lengths."""

    model_config = ConfigDict(extra="allow")

    object: Literal["dataset.profile"] = "dataset.profile"
    dataset: str
    modality: str
    """Of what goes in."""
    rows: int
    """Of all splits, without those that were left out."""
    splits: dict[str, int]
    """Rows of each split."""
    target: dict[str, Any] | None
    """What is to be predicted, with its classes or its range, and how many rows have none; null without labels."""
    columns: list[dict[str, Any]]
    """Name, type, part played and statistics of every column."""
    duplicates: int
    """Rows whose content equals that of an earlier one."""
    cleaning: dict[str, Any]
    """Rows left out, by reason, and what was changed in how many of the others."""
    examination: dict[str, Any] | None = None
    """What samples show, their sizes beside it: histograms, doubtful labels, drift, leaks, near duplicates."""
    warnings: list[Any]
    """What a careful practitioner would look at, in words."""
    inferred: dict[str, Any]
    """What was not asked for and decided by the content."""


class Fault(Wire):
    """One fault in the data."""

    model_config = ConfigDict(extra="allow")

    file: str | None = None
    """Id of the file."""
    row: int | None = None
    """Row of the file, the first being 1; a header is none."""
    column: str | None = None
    """Column or role; null where the whole row or file is meant."""
    code: str
    """The kind of fault, in snake_case: what a program should look at."""
    message: str
    """What was wrong, its place and value, and what would be right."""


class Report(Wire):
    """What was wrong with the data."""

    object: Literal["dataset.report"] = "dataset.report"
    dataset: str
    status: DatasetStatus
    total: int
    """The true number of faults."""
    faults: list[Fault]
    """The first 1,000."""
    dropped_total: int
    """The true number of rows that were left out, as cleaning and `on_fault` ask."""
    dropped: list[Fault]
    """The first 1,000 of those rows, each with the reason."""
    cut_short: bool
    """Whether reading ended a few seconds after the first fault, before all was read: there may be more."""


class Row(Wire):
    """One row of a dataset, as training sees it before the modality encodes it: besides these keys one for every role.

    `input` is a vector, a text, a picture as PNG `data:` URI or samples; texts of other roles are strings.
    """

    model_config = ConfigDict(extra="allow")

    id: str
    """Place in the split, from 0."""
    row: int
    """Place in the source, from 0."""
    target: Any
    """Its label or whatever is to be predicted; null where that is withheld or there is none."""
