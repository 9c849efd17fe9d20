"""What every reader gives: the columns of a file before it is read, and arrays of them afterwards. Knows no format.

Legend: `N` rows.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.disk import needing_room, open_unnamed
from worker.ingest.faults import Faults
from worker.ingest.mapping import Mapped
from worker.ingest.signatures import Medium

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


LOOKED_AT = 256
"""The first rows of an array, which tell whether they are pictures and what is black and white there."""
SMALLEST = 8
"""Pixels that each side of a picture has at least: smaller arrays of fractions are series."""


@dataclass(frozen=True)
class Input:
    """A file as it was uploaded."""

    id: str
    name: str
    stream: IO[bytes]
    size: int
    split: str = ""
    """Which one its name in an archive of tables says; empty where nothing does."""


class _Scratch(io.FileIO):
    """A full disk is no OSError here: a reader would take that for a fault of the file which it reads."""

    def __init__(self, folder: Path) -> None:
        super().__init__(open_unnamed(folder), "r+b")
        self._folder = folder

    def write(self, data: "ReadableBuffer", /) -> int:
        with needing_room(self._folder):
            return super().write(data)


@dataclass(frozen=True)
class Context:
    """What a reader needs beside its file."""

    faults: Faults
    opened: ExitStack
    """Closes the files that are opened on the way."""
    scratch: Path
    """Folder for temporary files; they have no name there, so none outlives the process."""
    limit: int
    """Most bytes that a compressed file may unpack to."""
    tick: Callable[[int], None]
    """Called with the rows done since the last call; raises Stopped when the job is asked to leave."""
    expect: Callable[[int], None] = lambda rows: None
    """Called once it is known how many rows there are to do."""

    inferred: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What was read otherwise than it stands in a file: notes by the key under which the profile says them."""
    sizes: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """Height, width and channels of all pictures that were looked at: they decide the size of all."""
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Least and greatest index in blocks of sparse rows: they decide the width of all."""

    def temporary(self) -> IO[bytes]:
        """An empty file; whatever writes to it raises InsufficientStorage where the disk is full."""
        with needing_room(self.scratch):
            return self.opened.enter_context(io.BufferedRandom(_Scratch(self.scratch)))


@dataclass(frozen=True)
class Head:
    """A column before it is read."""

    name: str
    origin: Literal["array", "table"]
    dtype: np.dtype[Any]
    """Of an array; a table's column is float64 or str by its first rows."""
    shape: tuple[int, ...] = ()
    """Of one row: () for a plain column, (28, 28) for pictures."""
    is_series: bool = False
    """Whether rows have two axes and the first ones hold numbers that are no pixels: steps by channels."""
    ragged: Literal["", "audio", "boxes", "tags"] = ""
    """What a row holds where rows differ in length."""
    distinct: int = 0
    """Different values among the first `sampled` rows of a table's column."""
    sampled: int = 0
    words: float = 0.0
    """Of a text column, in the mean of those rows."""
    example: str = ""
    """Of a text column, the first of its texts."""
    fractions: bool = False
    """Whether any of those is a number with a fraction."""
    counts: bool = False
    """Whether it counts the rows, as far as those were looked at."""
    note: str = ""
    """How the column came about, where the file has none of that name; the profile says it."""
    medium: Medium = ""
    """What a row holds the whole file of: a picture or a recording."""
    encoded: Literal["", "bytes", "base64", "json"] = ""
    """How it holds that file, or a conversation."""
    scaled: bool = False
    """True for pictures that were not all of this shape in their files."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the profile says of a role made of this column: a sample rate, the names of classes."""

    @property
    def is_number(self) -> bool:
        return self.dtype.kind in "biuf" and not self.ragged

    @property
    def is_text(self) -> bool:
        return self.dtype.kind == "U" and self.origin == "table"

    @property
    def is_plain(self) -> bool:
        """One value per row."""
        return self.shape in ((), (1,)) and not self.ragged


@dataclass(frozen=True)
class Wanted:
    """The columns that are to be read, by what they are read as."""

    numbers: Sequence[tuple[str, ...]] = ()
    """Columns that end up beside each other, for every role that is made of numbers."""
    names: Sequence[str] = ()
    """Columns with few different values."""
    ragged: Sequence[str] = ()
    """Texts, and other columns whose rows differ in length."""
    exact: bool = False
    """Whether numbers are needed as they are; else as a dataset holds them, which is float32."""
    first: bool = False
    """Whether the first rows are enough, as many as come at once; readers of tables alone stop there."""

    @property
    def columns(self) -> list[str]:
        return [*(name for part in self.numbers for name in part), *self.names, *self.ragged]


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers as one array [N, …]."""

    names: Sequence[str]
    """Of every column of a table, or the one name of an array."""
    values: NDArray[Any]
    release: Callable[[], None] = lambda: None
    """Gives the mapped pages back; the array stays valid."""


@dataclass(frozen=True)
class Coded:
    """A column of names: positions in `names`, -1 where there is none."""

    names: list[str]
    codes: NDArray[np.int32]


@dataclass(frozen=True)
class Loaded:
    """The columns that were asked for."""

    rows: int
    numbers: list[list[Numbers]] = field(default_factory=list)
    """For every part of what was wanted, the columns that stand beside each other; nothing when there are faults."""
    names: dict[str, Coded] = field(default_factory=dict)
    ragged: dict[str, Mapped] = field(default_factory=dict)
    """Texts as UTF-8, an empty one where there is none."""
    skipped: Sequence[int] | NDArray[np.int64] = ()
    """Rows of the file, from 1 and ascending, that could not be split into columns and are not among `rows`."""
    bad: Sequence[int] = ()
    """Rows among `rows`, from 0, that have a fault for which they are to be left out."""
    called: Sequence[str] = ()
    """What each of `rows` is called, where they are files of an archive."""

    def file_row(self, row: int) -> int:
        """The row of the file, from 1, of the `row`-th row here, from 0."""
        skipped = np.asarray(self.skipped, np.int64)
        return row + 1 + int(np.searchsorted(skipped - np.arange(len(skipped)), row + 1, side="right"))


class Source(Protocol):
    """One file, opened by a reader that knows its format."""

    @property
    def file(self) -> Input: ...
    @property
    def heads(self) -> Sequence[Head]: ...

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        """Reads columns; faults go to the context."""
        ...
