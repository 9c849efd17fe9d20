"""What a client may ask of a dataset, validated once for the route that takes it and the worker that makes it.

Knows the request's shape and nothing about files or rows.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
SUM_TOLERANCE = 1e-6


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Columns(_Options):
    """Which column plays what; what is absent is inferred from the content."""

    features: str | list[str] | None = None
    """Columns of numbers that make the input vector, or one array."""
    image: str | None = None
    """Array of pixels: rows by height by width, or rows by height by width by channels."""
    label: str | None = None
    """Column of classes; an empty cell, null or NaN is a label withheld."""
    split: str | None = None
    """Column that holds `train`, `validation` or `test` for every row."""

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if self.features is not None and self.image is not None:
            raise ValueError("give features or image, not both: a dataset has one input")
        if self.features == []:
            raise ValueError("features must name at least one column")
        return self


class Fractions(_Options):
    """A drawn split, stratified by class."""

    train: float = Field(0.8, gt=0, le=1)
    """Share of the rows to learn from."""
    validation: float = Field(0.0, ge=0, lt=1)
    """Share that decides when to stop; 0 draws a tenth of `train`."""
    test: float = Field(0.0, ge=0, lt=1)
    """Share that is held out."""
    seed: int = Field(0, ge=0)
    """Draws the same rows again."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > SUM_TOLERANCE:
            raise ValueError(f"train + validation + test must be 1, not {total:g}")
        return self


class SplitFiles(_Options):
    """File ids by split."""

    train: list[str] = Field(min_length=1)
    validation: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)


class FileSplit(_Options):
    """A split given by files; columns of different files are matched by the part they play."""

    files: SplitFiles


class Cleaning(_Options):
    """What is repaired instead of reported; the profile counts every change."""

    non_finite: Literal["fault", "drop"] = "fault"
    """Rows with an empty, NaN or infinite feature: `fault` refuses the dataset, `drop` leaves them out."""


class DatasetOptions(_Options):
    """The request for a dataset, without its name and metadata."""

    files: list[str] = Field(min_length=1, max_length=1000)
    """Ids of the files it is made from."""
    modality: Literal["auto", "vectors", "image"] = "auto"
    """How an item is read; `auto` decides by the content."""
    columns: Columns = Columns()
    """Which column plays what."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "arrow", "npy", "npz", "idx", "zip", "tar"] | None = None
    """Format of all files; null decides by their content."""
    image_size: int | None = Field(None, ge=1, le=2048)
    """Height and width to which the pictures of archives are scaled. Null keeps them if all have one size, else 128."""
    split: Fractions | FileSplit | None = None
    """Shares, or files; null takes a column named `split`, else 80/10/10. Absent validation is drawn from train."""
    cleaning: Cleaning | None = None
    """What is repaired instead of reported."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.files)) != len(self.files):
            raise ValueError("files names the same id twice")
        if self.modality == "vectors" and self.columns.image is not None:
            raise ValueError("modality vectors takes its input from columns.features, not columns.image")
        if self.split is not None and self.columns.split is not None:
            raise ValueError("give split or columns.split, not both")
        if isinstance(self.split, FileSplit):
            named = [name for split in SPLITS for name in getattr(self.split.files, split)]
            if sorted(named) != sorted(self.files):
                raise ValueError(
                    f"split.files must name every one of files once: files has {sorted(self.files)}, "
                    f"split.files has {sorted(named)}"
                )
        return self

    def stored(self) -> dict[str, object]:
        """As JSON for the dataset's row."""
        return self.model_dump(mode="json")
