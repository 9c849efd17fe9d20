"""The wire shapes of datasets; their docstrings are the API's documentation."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas import ErrorBody, Wire
from app.dataset_options import DatasetOptions
from app.validation import NAME

DatasetStatus = Literal["validating", "ready", "failed"]


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
    """Whether reading ended at the first faults, before all was read: there may be more."""


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
