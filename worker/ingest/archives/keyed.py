"""Tables of an archive that name its items in a column of any name, to be read as metadata. Knows no items."""

import codecs
import csv
import io
import json
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

from app.ml.text.scripts import count_words
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.item_names import Names
from worker.ingest.planning.names import WORDS
from worker.ingest.readers import json_lines
from worker.ingest.readers.dialect import TABULAR, find_dialect
from worker.ingest.readers.transcripts import FILE_NAME

SAMPLE_BYTES = 1 << 18
SPLIT = "split"
TEXT = "text"
NAMELESS = "f{}"
"""Of a column where there is no header."""


class Keyed(Protocol):
    """A table with a column that names items."""

    @property
    def member(self) -> Member: ...

    @property
    def header(self) -> Sequence[str]: ...

    @property
    def column(self) -> str: ...

    def called(self) -> Iterator[str]:
        """What every row calls its item."""

    def as_metadata(self, split: str | None) -> Member:
        """The same with `file_name`, and with the split that all of its rows belong to."""


@dataclass(frozen=True)
class Table:
    member: Member
    names: Names
    header: Sequence[str]
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
            yield from csv.reader(text, delimiter=self.delimiter, skipinitialspace=True)
        else:
            yield from csv.reader(text, delimiter=self.delimiter, quoting=csv.QUOTE_NONE)

    def called(self) -> Iterator[str]:
        return (row[self.key] for row in self.rows() if len(row) > self.key)

    def as_metadata(self, split: str | None) -> Member:
        folder = posixpath.dirname(self.member.path)
        header = [FILE_NAME if place == self.key else name for place, name in enumerate(self.header)]

        def named(row: list[str]) -> list[str]:
            path = self.names.find(row[self.key], folder) if len(row) > self.key else None
            if path is not None:
                row[self.key] = posixpath.relpath(path, folder or ".")
            return [*row, split] if row and split is not None else row

        whole = header if split is None else [*header, SPLIT]
        return replace(self.member, chunks=lambda: written(chain([whole], map(named, self.rows()))))


@dataclass(frozen=True)
class Lines:
    """The same of JSON lines; what is no object stays as it is, and its reader will say it."""

    member: Member
    names: Names
    header: Sequence[str]
    column: str

    def called(self) -> Iterator[str]:
        rows = map(_row, io.BufferedReader(_Chunks(self.member)))
        return (str(row[self.column]) for row in rows if row is not None and self.column in row)

    def as_metadata(self, split: str | None) -> Member:
        folder = posixpath.dirname(self.member.path)

        def named(line: bytes) -> bytes:
            row = _row(line)
            if row is None:
                return line
            name = row.pop(self.column, None)
            path = self.names.find(name, folder) if isinstance(name, str) else None
            row = {FILE_NAME: name if path is None else posixpath.relpath(path, folder or "."), **row}
            return json.dumps(row if split is None else {**row, SPLIT: split}).encode() + b"\n"

        return replace(self.member, chunks=lambda: map(named, io.BufferedReader(_Chunks(self.member))))


def read(member: Member, names: Names) -> Keyed | None:
    """A table by its first rows; None where no column names items."""
    try:
        first = next(member.chunks(), b"")[:SAMPLE_BYTES]
        whole = len(first) if len(first) >= member.size else first.rfind(b"\n") + 1
        text = first[:whole].decode("utf-8-sig") or first.decode("utf-8-sig")
    except (*BROKEN, ValueError):
        return None
    return (_read_lines if member.path.lower().endswith(".jsonl") else _read_table)(member, text, names)


def is_nameless(column: str) -> bool:
    """Whether it is the name of a column where there is no header."""
    return re.fullmatch(r"f\d+", column) is not None


def with_file_name(member: Member, names: Names) -> Member:
    """A metadata file as it is, or with `file_name` in place of what its header calls the items."""
    table = read(member, names)
    if table is None or FILE_NAME in table.header or table.column == NAMELESS.format(0):
        return member
    return table.as_metadata(None)


def _read_table(member: Member, text: str, names: Names) -> Table | None:
    tabs = member.path.lower().endswith(".tsv") or "\t" in text.partition("\n")[0]
    return _by_delimiters(member, text, "\t" if tabs else ",;\t|", names) or (
        _by_delimiters(member, text, " ", names) if member.path.lower().endswith(".txt") else None
    )


def _by_delimiters(member: Member, text: str, delimiters: str, names: Names) -> Table | None:
    tabs = delimiters == "\t"
    dialect = find_dialect(text.replace('"', "") if tabs else text, delimiters, None, None)
    rows, folder = dialect.rows[dialect.header :], posixpath.dirname(member.path)
    for place in range(len(rows[0]) if rows else 0):
        if _name_items([row[place] for row in rows if len(row) > place], len(rows), names, folder):
            first = [name.strip() for name in dialect.rows[0]]
            titled = dialect.header and names.find(first[place], folder) is None
            header = first if titled else [_nameless(number, rows) for number in range(len(rows[0]))]
            skipped = dialect.before + titled
            return Table(member, names, header, place, skipped, dialect.delimiter, not tabs)
    return None


def _nameless(number: int, rows: Sequence[Sequence[str]]) -> str:
    """What a column without a name is called: texts that stand alone beside names of items say something of these."""
    words = sum(count_words(row[number]) for row in rows if len(row) > number)
    return TEXT if len(rows[0]) == 2 and words >= WORDS * len(rows) else NAMELESS.format(number)


def _read_lines(member: Member, text: str, names: Names) -> Lines | None:
    rows = [row for line in text.splitlines() if (row := _row(line.encode())) is not None]
    header, folder = list(dict.fromkeys(chain.from_iterable(rows))), posixpath.dirname(member.path)
    for key in header:
        if _name_items([row[key] for row in rows if isinstance(row.get(key), str)], len(rows), names, folder):
            return Lines(member, names, header, key)
    return None


def _name_items(cells: Sequence[str], rows: int, names: Names, folder: str) -> bool:
    return sum(names.find(cell, folder) is not None for cell in cells) >= TABULAR * rows


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        value = json_lines.decode(line.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def written(rows: Iterator[list[str]]) -> Iterator[bytes]:
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
