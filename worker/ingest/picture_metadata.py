"""Reads `metadata.csv` and `metadata.jsonl` of an archive: rows that name a picture in `file_name` and say more of it.

Paths are taken from the folder of the metadata file. Knows no pixels.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.ingest import jsonl, tables
from worker.ingest.archives import BROKEN, Archive, Member
from worker.ingest.faults import shown
from worker.ingest.imagefolder import SPLIT_FOLDERS, split_name
from worker.ingest.source import Coded, Context, Head, Input, Source
from worker.ingest.staging import OTHER

NAME = re.compile(r"(^|/)metadata\.(csv|jsonl)$", re.IGNORECASE)
FILE_NAME = "file_name"
SPLIT = "split"


@dataclass
class Metadata:
    """What is known of every picture, by column."""

    pictures: Sequence[str]
    heads: dict[str, Head] = field(default_factory=dict)
    _names: dict[str, dict[str, int]] = field(default_factory=dict)
    _codes: dict[str, NDArray[np.int32]] = field(default_factory=dict)

    def put(self, head: Head, given: Coded, pictures: NDArray[np.int64]) -> None:
        """The column's value of each of `pictures`, which are positions."""
        names = self._names.setdefault(head.name, {})
        codes = self._codes.setdefault(head.name, np.full(len(self.pictures), -1, np.int32))
        table = [names.setdefault(name, len(names)) for name in given.names]
        codes[pictures] = np.array([*table, -1], np.int32)[given.codes]
        sampled = int((codes >= 0).sum())
        self.heads[head.name] = Head(head.name, "table", head.dtype, distinct=len(names), sampled=sampled)

    @property
    def columns(self) -> dict[str, Coded]:
        return {name: Coded(list(names), self._codes[name]) for name, names in self._names.items()}


def read_metadata(archive: Archive, files: Sequence[Member], pictures: Sequence[str], context: Context) -> Metadata:
    """Joins the rows of all metadata files to the pictures; a row or a picture that is left over is a fault."""
    found, before = Metadata(pictures), context.faults.total
    positions = {path: number for number, path in enumerate(pictures)}
    seen = np.zeros(len(pictures), np.bool_)
    for member in files:
        source = _open(archive, member, context)
        if source is not None:
            _join(found, source, posixpath.dirname(member.path), positions, seen, context)
    if context.faults.total > before:
        return found  # pictures without a row may be those of rows with a fault
    for number in np.flatnonzero(~seen).tolist():
        context.faults.add(
            "missing_row",
            f"{archive.file.name}: no row of {' or '.join(each.path for each in files)} has the {FILE_NAME} of "
            f"{shown(pictures[number])}; add a row, or take the file out",
            file=archive.file.id,
            row=number + 1,
        )
    return found


def _open(archive: Archive, member: Member, context: Context) -> Source | None:
    """The table in a metadata file; None when it is none, and the fault says why."""
    held = context.temporary()
    try:
        for chunk in member.chunks():
            held.write(chunk)
            context.tick(0)
    except (*BROKEN, ValueError) as error:
        message = f"{archive.file.name}: {member.path} cannot be read: {error}"
        context.faults.add("damaged", message, file=archive.file.id)
        return None
    held.flush()
    file = Input(archive.file.id, f"{archive.file.name}/{member.path}", held, member.size)
    before = context.faults.total
    opens = jsonl.open_lines if member.path.lower().endswith(".jsonl") else tables.open_table
    source: Source = opens(file, context)
    if context.faults.total > before:
        return None
    names = [head.name for head in source.heads]
    for code, name in (("unknown_column", FILE_NAME), ("duplicate_column", "image")):
        if (name in names) == (code == "duplicate_column"):
            problem = "needs a column" if code == "unknown_column" else "may have no column"
            message = f"{file.name} {problem} {name!r}; it has {', '.join(map(repr, names)) or 'none'}"
            context.faults.add(code, message, file=file.id, column=name)
            return None
    return source


def _join(
    found: Metadata, source: Source, folder: str, positions: dict[str, int], seen: NDArray[np.bool_], context: Context
) -> None:
    heads = [head for head in source.heads if head.dtype != OTHER and not head.shape and head.name != FILE_NAME]
    loaded = source.load([], [FILE_NAME, *(head.name for head in heads)], context)
    files = loaded.texts[FILE_NAME]
    rows, pictures = [], []

    def fault(code: str, row: int, column: str, problem: str) -> None:
        number = loaded.file_row(row)
        message = f"{source.file.name}, row {number:,}: {problem}"
        context.faults.add(code, message, file=source.file.id, row=number, column=column)

    for row, code in enumerate(files.codes):
        name = files.names[code] if code >= 0 else ""
        picture = positions.get(posixpath.normpath(posixpath.join(folder, name)))
        if picture is None:
            fault("missing_file", row, FILE_NAME, f"{shown(name)} is not in the archive")
        elif seen[picture]:
            fault("duplicate_row", row, FILE_NAME, f"{shown(name)} has a row already")
        else:
            seen[picture] = True
            rows.append(row)
            pictures.append(picture)
    for head in heads:
        given = loaded.texts[head.name]
        if head.name == SPLIT:
            for row in np.flatnonzero(~np.isin(given.codes, _known(given))).tolist():
                value = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
                problem = f"{shown(value)} is no split; give train, validation, test"
                fault("unknown_split", row, SPLIT, problem)
            given = Coded([split_name(name) for name in given.names], given.codes)
        chosen = Coded(given.names, given.codes[np.array(rows, np.int64)])
        found.put(head, chosen, np.array(pictures, np.int64))


def _known(given: Coded) -> list[int]:
    return [number for number, name in enumerate(given.names) if name.casefold() in SPLIT_FOLDERS]
