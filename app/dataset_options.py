"""What a client may ask of a dataset, validated once for the route that takes it and the worker that makes it.

Knows the request's shape and nothing about files or rows.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
PLAYS = {"target": "label", "input": "features"}
"""What a profile calls the columns of a role."""
Format = Literal[
    "csv", "tsv", "txt", "jsonl", "parquet", "arrow", "npy", "npz", "idx", "zip", "tar", "audio", "coco", "yolo", "voc"
]
Encoding = Literal[
    "utf-8",
    "utf-16",
    "latin-1",
    "cp1252",
    "iso-8859-15",
    "mac-roman",
    "cp1250",
    "iso-8859-2",
    "cp1251",
    "koi8-r",
    "koi8-u",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "gb18030",
    "big5",
]
SUM_TOLERANCE = 1e-6


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Columns(_Options):
    """Which column plays what; what is absent is inferred from the content."""

    features: str | list[str] | None = None
    """Columns of numbers and of categories that make the input vector, or one array."""
    image: str | None = None
    """Input: array of pixels (rows by height by width, or by height by width by channels), or pictures as files."""
    text: str | None = None
    """Input: column of texts."""
    audio: str | None = None
    """Input: recordings."""
    label: str | None = None
    """Column of classes; an empty cell, null or NaN is a label withheld."""
    value: str | None = None
    """Column of numbers to be predicted; an empty cell, null or NaN is a value withheld."""
    tags: str | None = None
    """Column of lists of labels, or of labels with `|` between them."""
    boxes: str | None = None
    """What lies where in a picture: `boxes`, where an archive has files of COCO, Pascal VOC, YOLO or CSV."""
    caption: str | None = None
    """Text that belongs to the input, for pictures and recordings."""
    source: str | None = None
    """Text to be translated or otherwise rewritten."""
    target: str | None = None
    """Text that it becomes."""
    left: str | None = None
    """One side of pairs that belong together: texts, pictures or recordings."""
    right: str | None = None
    """The other side."""
    negative: str | None = None
    """Text that does not belong to `left`, although it looks so."""
    weight: str | None = None
    """How much a row counts: a number of at least 0."""
    group: str | None = None
    """Speaker, document, patient …: rows of one group never fall on both sides of a split."""
    split: str | None = None
    """Column that holds `train`, `validation` or `test` for every row."""

    def named(self) -> list[str]:
        """Every column that is named."""
        values = [value for value in self.model_dump().values() if value is not None]
        return [name for value in values for name in (value if isinstance(value, list) else [value])]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        inputs = [name for name in ("features", "image", "text", "audio") if getattr(self, name) is not None]
        if len(inputs) > 1:
            raise ValueError(f"give {' or '.join(inputs)}, not both: a dataset has one input")
        if self.features == []:
            raise ValueError("features must name at least one column")
        if isinstance(self.features, list) and len(set(self.features)) < len(self.features):
            raise ValueError("features names a column twice")
        targets = [name for name in ("label", "value", "tags", "boxes", "target") if getattr(self, name) is not None]
        if len(targets) > 1:
            raise ValueError(f"give {' or '.join(targets)}, not both: a dataset has one target")
        for one, other in (("source", "target"), ("left", "right")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise ValueError(f"{one} and {other} go together; give both")
        if self.negative is not None and self.left is None:
            raise ValueError("negative goes with left and right; give them too")
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
    """Files to learn from."""
    validation: list[str] = Field(default_factory=list)
    """Files that decide when to stop; without any, a tenth of train is drawn."""
    test: list[str] = Field(default_factory=list)
    """Files that are held out."""


class FileSplit(_Options):
    """A split given by files; columns of different files are matched by the part they play."""

    files: SplitFiles
    """Which files make which split."""


class Cleaning(_Options):
    """What is repaired or left out instead of reported; the profile counts every change, the report lists what is left
    out."""

    non_finite: Literal["fault", "drop", "impute"] = "fault"
    """Rows with an empty, NaN or infinite number: `fault` refuses them, `drop` leaves them out, `impute` keeps the gap
    for the model, which fills it with the column's median of the training split and is told where gaps were."""
    duplicates: Literal["together", "drop", "keep"] = "together"
    """Rows whose inputs are equal: `together` keeps them on one side of the splits (where splits are given, those of
    train that stand in validation or test are left out), `drop` keeps the first, `keep` does nothing."""
    empty: Literal["drop", "fault"] = "drop"
    """Texts of white space only, and items shorter than the two below: left out, or refused."""
    min_characters: int = Field(1, ge=1)
    """Shorter texts are treated as `empty` says."""
    min_seconds: float = Field(0.0, ge=0)
    """The same for recordings."""
    long: Literal["cut", "drop", "fault"] = "cut"
    """Items longer than the two below: cut there, left out, or refused."""
    max_characters: int | None = Field(None, ge=1)
    """Longer texts are treated as `long` says."""
    max_seconds: float | None = Field(None, gt=0)
    """The same for recordings."""
    unicode: Literal["nfc", "keep"] = "nfc"
    """`nfc` brings composed letters to one form."""
    control: Literal["remove", "keep"] = "remove"
    """Control characters in texts, but for tab and line feed."""
    html: Literal["keep", "remove"] = "keep"
    """`remove` takes tags out of texts and replaces entities."""
    silence: Literal["keep", "drop", "trim"] = "keep"
    """Recordings: `drop` leaves out those in which nothing is louder than a thousandth of full scale (-60 dB); `trim`
    also cuts such silence off the beginning and the end of the others."""
    boxes: Literal["fault", "clip"] = "fault"
    """Boxes that reach beyond their picture by more than a pixel, or that have no area: `clip` cuts them at its edge
    and leaves out those of which nothing is left."""
    crowds: Literal["fault", "drop"] = "fault"
    """Boxes around a crowd (COCO's `iscrowd`): `drop` leaves them out."""
    constant: Literal["keep", "drop"] = "keep"
    """`drop` leaves columns out that have (nearly) one value in all rows."""

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        for least, most in (("min_characters", "max_characters"), ("min_seconds", "max_seconds")):
            low, high = getattr(self, least), getattr(self, most)
            if high is not None and low > high:
                raise ValueError(f"{least} {low:g} is more than {most} {high:g}; nothing would be left")
        return self


class DatasetOptions(_Options):
    """The request for a dataset, without its name and metadata."""

    files: list[str] = Field(min_length=1, max_length=1000)
    """Ids of the files it is made from."""
    modality: Literal["auto", "vectors", "image", "text", "audio"] = "auto"
    """How an item is read; `auto` decides by the content."""
    columns: Columns = Columns()
    """Which column plays what."""
    format: Format | None = None
    """Format of all files; null decides by their content. `coco`, `yolo` and `voc` are archives with such boxes."""
    encoding: Encoding | None = None
    """What the letters of all texts are written in, but for those with a byte-order mark. Null takes UTF-16 and UTF-32
    where that is certain, else UTF-8. Tables within archives are UTF-8."""
    decimal: Literal[".", ","] | None = None
    """What stands before the fractions of numbers in CSV and TSV; the other of the two may stand between thousands.
    Null decides by the content."""
    header: bool | None = None
    """Whether CSV and TSV begin with the names of their columns. Null decides by the content."""
    image_size: int | None = Field(None, ge=1, le=2048)
    """Height and width to which the pictures of archives are scaled. Null keeps them if all have one size, else 128."""
    sample_rate: int = Field(16_000, ge=1_000, le=192_000)
    """Samples a second to which all recordings are brought."""
    split: Fractions | FileSplit | None = None
    """Shares, or files; null takes a column named `split`, else 80/10/10. Absent validation is drawn from train."""
    text_unit: Literal["line", "paragraph"] = "line"
    """What a row of a plain text is; empty lines end a paragraph."""
    cleaning: Cleaning = Cleaning()
    """What is repaired or left out instead of reported."""
    profile: Literal["full", "basic"] = "full"
    """`basic` leaves out what is found on samples: histograms, doubtful labels, drift, leaks, near duplicates."""
    on_fault: Literal["fail", "drop"] = "fail"
    """`drop` leaves out rows that have a fault, and lists them; faults of whole files fail in any case."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.files)) != len(self.files):
            raise ValueError("files names the same id twice")
        inputs = {"vectors": "features", "image": "image", "text": "text", "audio": "audio"}
        for modality, column in inputs.items():
            if getattr(self.columns, column) is not None and self.modality not in ("auto", modality):
                own = inputs[self.modality]
                raise ValueError(f"modality {self.modality} takes its input from columns.{own}, not columns.{column}")
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
