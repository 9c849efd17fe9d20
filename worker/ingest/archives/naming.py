"""Finds files of an archive that say more of its items although none is called `metadata`, and writes them as such.

A table counts that has a column of the items' paths, names, or names without ending: `labels.csv`, a `train.csv` with
an `id`, `validated.tsv` of Common Voice. So do texts that are called like the items beside them. Knows neither pixels
nor samples.
"""

import csv
import io
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.folders import is_split, split_name
from worker.ingest.readers.dialect import TABULAR, find_dialect
from worker.ingest.readers.transcripts import FILE_NAME

SAID = re.compile(r"\.(csv|tsv|txt)$", re.IGNORECASE)
TABLE = re.compile(r"\.(csv|tsv)$", re.IGNORECASE)
BEST = re.compile(r"(^|/)validated\.tsv$", re.IGNORECASE)
"""Common Voice has other tables for parts of its recordings; this one is all that was found good."""
SPOKEN = re.compile(r"\.trans\.txt$", re.IGNORECASE)
"""LibriSpeech has one such list for the recordings of a chapter: `speaker-chapter-number WHAT IS SAID`."""
TO_FILL_IN = re.compile(r"submission", re.IGNORECASE)
"""Tables of competitions whose labels are no labels."""
DOCUMENT = re.compile(r"(^|/)(classes|labels|names|about|notes?|citation|speakers|chapters|books)\.txt$", re.IGNORECASE)
NUMBERS = re.compile(r"[-+\d.eE\s]*")
SAMPLE_BYTES = 1 << 18
SPLIT, TEXT, SPEAKER = "split", "transcript", "speaker"


class Names:
    """Items by path, by name and by name without ending; what several are called names none."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = frozenset(paths)
        self._others: dict[str, str | None] = {}
        for spelling in (posixpath.basename, _stem):
            found: dict[str, str | None] = {}
            for path in paths:
                name = spelling(path)
                found[name] = None if name in found else path
            self._others = found | self._others

    def find(self, name: str, folder: str) -> str | None:
        """The path of the item that a table in a folder calls so."""
        path = posixpath.normpath(posixpath.join(folder, name))
        return path if path in self._paths else self._others.get(name)


@dataclass(frozen=True)
class Said:
    """What an archive holds, told apart."""

    items: list[Member]
    tables: list[Member]
    """As `metadata.csv`, whatever they are called."""
    named: str = ""
    """What these are, in words."""
    passed_over: int = 0


def tell_apart(found: Sequence[Member]) -> Said:
    """`found` are the members that may be items."""
    said = [member for member in found if SAID.search(member.path)]
    items = [member for member in found if not SAID.search(member.path)]
    if not said or not items:
        return Said(list(found), [])
    names = Names([member.path for member in items])
    keyed = {member.path: table for member in said if TABLE.search(member.path) and (table := _read(member, names))}
    tables = _chosen(keyed)
    named = " and ".join(f"{each.path}, by {keyed[each.path].column!r}," for each in tables)
    used = {member.path for member in tables}
    lists = [member for member in said if SPOKEN.search(member.path)]
    if not tables and lists:
        tables, named = [Member("transcripts.csv", 0, _listed(lists, names))], f"a list such as {lists[0].path}"
        used = {member.path for member in lists}
    elif not tables and (spoken := _beside(items, said)):
        tables, named = [Member("transcripts.csv", 0, _texts(spoken))], "the text beside each"
        used = {member.path for member in spoken.values()}
    known = used | set(keyed) | {member.path for member in said if DOCUMENT.search(member.path)}
    return Said([member for member in found if member.path not in known], tables, named, len(known - used))


def _beside(items: Sequence[Member], said: Sequence[Member]) -> dict[str, Member]:
    """The text that is called like an item, by the item's path; none where they are boxes, which are no captions."""
    texts = {posixpath.splitext(member.path)[0]: member for member in said if not TABLE.search(member.path)}
    spoken = {member.path: texts[stem] for member in items if (stem := posixpath.splitext(member.path)[0]) in texts}
    return {} if all(map(_is_numbers, spoken.values())) else spoken


@dataclass(frozen=True)
class _Table:
    member: Member
    names: Names
    header: list[str]
    key: int
    """The column that names the items."""
    skipped: int
    delimiter: str
    quoted: bool

    @property
    def column(self) -> str:
        return self.header[self.key]

    def rows(self) -> Iterator[list[str]]:
        text = io.TextIOWrapper(io.BufferedReader(_Chunks(self.member)), "utf-8-sig", "surrogateescape", newline="")
        for _ in range(self.skipped):
            text.readline()
        if self.quoted:
            yield from csv.reader(text, delimiter=self.delimiter)
        else:
            yield from csv.reader(text, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)

    def as_metadata(self, split: str | None) -> Member:
        """The same with `file_name`, and with the split that all of its rows belong to."""
        folder = posixpath.dirname(self.member.path)
        header = [FILE_NAME if place == self.key else name for place, name in enumerate(self.header)]

        def named(row: list[str]) -> list[str]:
            path = self.names.find(row[self.key], folder) if len(row) > self.key else None
            if path is not None:
                row[self.key] = posixpath.relpath(path, folder or ".")
            return [*row, split] if row and split is not None else row

        whole = header if split is None else [*header, SPLIT]
        return replace(self.member, chunks=lambda: _written(chain([whole], map(named, self.rows()))))


def _read(member: Member, names: Names) -> _Table | None:
    """A table by its first rows; None where no column names items."""
    try:
        first = next(member.chunks(), b"")[:SAMPLE_BYTES]
        text = first[: first.rfind(b"\n") + 1].decode("utf-8-sig") or first.decode("utf-8-sig")
    except (*BROKEN, ValueError):
        return None
    tabs = member.path.lower().endswith(".tsv")
    dialect = find_dialect(text.replace('"', "") if tabs else text, "\t" if tabs else ",;\t|", None, None)
    rows, folder = dialect.rows[dialect.header :], posixpath.dirname(member.path)
    if not rows:
        return None
    for place in range(len(rows[0])):
        cells = [row[place] for row in rows if len(row) > place]
        if sum(names.find(cell, folder) is not None for cell in cells) >= TABULAR * len(rows):
            header = [name.strip() for name in dialect.rows[0]] if dialect.header else []
            header = header or [f"f{number}" for number in range(len(rows[0]))]
            return _Table(member, names, header, place, dialect.skipped, dialect.delimiter, not tabs)
    return None


def _chosen(keyed: dict[str, _Table]) -> list[Member]:
    """The tables to believe, as metadata: one that says it was checked, else those for splits, else the first."""
    tables = [table for path, table in keyed.items() if not TO_FILL_IN.search(path)]
    best = [table for table in tables if BEST.search(table.member.path)]
    if best or len(tables) <= 1:
        return [table.as_metadata(None) for table in best or tables]
    named = [(table, _stem(table.member.path)) for table in tables if is_split(_stem(table.member.path))]
    first = min(named, key=lambda pair: split_name(pair[1]) != "train")[0] if named else tables[0]
    alike = [(table, split_name(stem)) for table, stem in named if table.header == first.header]
    if len(alike) < 2 or SPLIT in first.header:
        return [first.as_metadata(None)]
    return [table.as_metadata(split) for table, split in alike]


def _stem(path: str) -> str:
    """A file's name without folder and ending."""
    return posixpath.splitext(posixpath.basename(path))[0]


def _is_numbers(member: Member) -> bool:
    """As boxes are written down."""
    try:
        return bool(NUMBERS.fullmatch(next(member.chunks(), b"").decode("utf-8", "replace")))
    except (*BROKEN, ValueError):
        return False


def _texts(spoken: dict[str, Member]) -> Callable[[], Iterator[bytes]]:
    def rows() -> Iterator[list[str]]:
        yield [FILE_NAME, TEXT]
        for path, member in spoken.items():
            yield [path, " ".join(member.read().decode("utf-8-sig", "surrogateescape").split())]

    return lambda: _written(rows())


def _listed(lists: Sequence[Member], names: Names) -> Callable[[], Iterator[bytes]]:
    """What the lists of LibriSpeech say; a line without its recording keeps its name, and is a fault."""

    def rows() -> Iterator[list[str]]:
        yield [FILE_NAME, TEXT, SPEAKER]
        for member in lists:
            folder = posixpath.dirname(member.path)
            for line in member.read().decode("utf-8-sig", "surrogateescape").splitlines():
                name, _, text = line.partition(" ")
                if name:
                    yield [names.find(name, folder) or posixpath.join(folder, name), text, name.partition("-")[0]]

    return lambda: _written(rows())


def _written(rows: Iterator[list[str]]) -> Iterator[bytes]:
    """Rows as CSV in UTF-8; what was none stays so, and its reader will say it."""
    for row in rows:
        held = io.StringIO()
        csv.writer(held).writerow(row)
        yield held.getvalue().encode("utf-8", "surrogateescape")


class _Chunks(io.RawIOBase):
    """A member to be read as a file, from its beginning on."""

    def __init__(self, member: Member) -> None:
        self._chunks, self._left = member.chunks(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = chunk
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
