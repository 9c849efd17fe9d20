"""Reads `metadata.csv` and `metadata.jsonl` of an archive: rows that name an item in `file_name` and say more of it.

Paths are taken from the folder of the metadata file. An item of which a file holds several texts, such as a picture
with five captions, is there as often. Knows neither pixels nor samples.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.archives.containers import Archive, Member
from worker.ingest.archives.folders import is_split, split_name
from worker.ingest.faults import shown, some
from worker.ingest.mapping import Mapped
from worker.ingest.planning.names import is_prose
from worker.ingest.readers import jsonl, tables, transcripts
from worker.ingest.readers.heads import OTHER
from worker.ingest.readers.transcripts import FILE_NAME
from worker.ingest.source import Coded, Context, Head, Loaded, Numbers, Source, Wanted
from worker.ingest.stages import BYTE, RaggedStage

NAME = re.compile(r"(^|/)metadata\.(csv|jsonl)$", re.IGNORECASE)
SPLIT = "split"
BLOCK = 1 << 16
NOTHING = np.zeros(0, BYTE)


@dataclass
class Given:
    """One metadata file, and which of its rows speak of which items."""

    source: Source
    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    """Of every one of `rows`: which item it speaks of, in the archive's order."""
    turns: NDArray[np.int64]
    """How many rows before it speak of the same item."""


@dataclass
class Metadata:
    """What is known of every item, by column; read when it is asked for."""

    items: NDArray[np.int64]
    """Which item of the archive is there, one after the other; several times those of which several texts are known."""
    given: list[Given] = field(default_factory=list)
    paths: Sequence[str] = ()
    """Of all items of the archive."""
    unlisted: list[int] = field(default_factory=list)
    """Places in `items` that no row speaks of."""

    @property
    def heads(self) -> dict[str, Head]:
        return {head.name: head for each in self.given for head in _heads(each.source)}

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        """The columns in the order of the items; nothing where a file of several has no such column."""
        numbers = [[Numbers([name], np.full(len(self.items), np.nan)) for name in part] for part in wanted.numbers]
        codes = {name: np.full(len(self.items), -1, np.int32) for name in wanted.names}
        known: dict[str, dict[str, int]] = {name: {} for name in wanted.names}
        texts: list[tuple[Given, dict[str, Mapped]]] = []
        bad: list[int] = []
        for each in self.given:
            own = {head.name for head in each.source.heads}
            parts = [tuple(name for name in part if name in own) for part in wanted.numbers]
            few, free = ([name for name in part if name in own] for part in (wanted.names, wanted.ragged))
            here = Wanted(parts, few, free)
            loaded = each.source.load(here, context)
            bad += each.items[np.isin(each.rows, loaded.bad)].tolist()
            for whole, read in zip(numbers, loaded.numbers, strict=False):  # none where there are faults
                columns = {name: part.values.reshape(len(part.values), -1) for part in read for name in part.names}
                for column in whole:
                    if column.names[0] in columns:
                        found = next(part for part in read if column.names[0] in part.names)
                        place = list(found.names).index(column.names[0])
                        column.values[each.items] = columns[column.names[0]][each.rows, place]
            for name, coded in loaded.names.items():
                called = [split_name(label) if name == SPLIT else label for label in coded.names]
                table = [known[name].setdefault(label, len(known[name])) for label in called]
                codes[name][each.items] = np.array([*table, -1], np.int32)[coded.codes[each.rows]]
            texts.append((each, loaded.ragged))
        names = {name: Coded(list(known[name]), codes[name]) for name in wanted.names}
        ragged = {name: self._texts(name, texts, context) for name in wanted.ragged}
        called = [self.paths[item] for item in self.items.tolist() if self.paths]
        return Loaded(len(self.items), numbers, names, ragged, (), bad, called)

    def _texts(self, name: str, texts: Sequence[tuple[Given, dict[str, Mapped]]], context: Context) -> Mapped:
        file, row = np.full(len(self.items), -1, np.int32), np.zeros(len(self.items), np.int64)
        for number, (each, ragged) in enumerate(texts):
            if name in ragged:
                file[each.items], row[each.items] = number, each.rows
        stage = RaggedStage(context)
        for start in range(0, len(self.items), BLOCK):
            places = zip(file[start : start + BLOCK].tolist(), row[start : start + BLOCK].tolist(), strict=True)
            held = Ragged.of([texts[n][1][name].read(r, r + 1).row(0) if n >= 0 else NOTHING for n, r in places])
            stage.add(held.values, held.lengths)
            context.tick(0)
        return stage.mapped()


def read_metadata(
    archive: Archive,
    files: Sequence[Member],
    items: Sequence[str],
    column: str,
    context: Context,
    *,
    complete: bool,
    once: bool = False,
) -> Metadata:
    """Joins the rows of all metadata files to the items at these paths; a row that is left over is a fault, and so is
    an item where they are to be `complete`: of any other, nothing is said.

    `column` is that of the items, which no metadata file may have. If each item is to be there `once`, the first of
    several texts stands for all.
    """
    given, before = [], context.faults.total
    positions = {path: number for number, path in enumerate(items)}
    known = np.zeros(len(items), np.int64)
    for member in files:
        source = _open(archive, member, items, column, context)
        if source is not None:
            given.append(_join(source, posixpath.dirname(member.path), positions, known, context, once=once))
    times = np.maximum(known, 1)
    places = times.cumsum() - times
    for each in given:
        each.items = places[each.items] + each.turns
    found = Metadata(np.repeat(np.arange(len(items)), times), given, items)
    if not complete or context.faults.total > before:
        return found  # items without a row may be those of rows with a fault
    unlisted = np.flatnonzero(known == 0)
    found.unlisted = places[unlisted].tolist()
    for number in unlisted.tolist():
        context.faults.row(
            "missing_row",
            f"{archive.file.name}: no row of {' or '.join(each.path for each in files)} has the {FILE_NAME} of "
            f"{shown(items[number])}; add a row, or take the file out",
            file=archive.file.id,
            row=number + 1,
        )
    return found


def _open(archive: Archive, member: Member, items: Sequence[str], column: str, context: Context) -> Source | None:
    """The table in a metadata file; None when it is none, and the fault says why."""
    file = archive.unpack(member, context)
    if file is None:
        return None
    before = context.faults.total
    opens = jsonl.open_lines if member.path.lower().endswith(".jsonl") else tables.open_table
    if opens is tables.open_table and transcripts.is_transcripts(file.stream):
        names = transcripts.by_stem(posixpath.dirname(member.path), items)
        lines = transcripts.to_json_lines(file, names, context)
        return None if lines is None else jsonl.open_lines(lines, context)
    source: Source = opens(file, context)
    if context.faults.total > before:
        return None
    known = [head.name for head in source.heads]
    for code, name in (("unknown_column", FILE_NAME), ("duplicate_column", column)):
        if (name in known) == (code == "duplicate_column"):
            problem = "needs a column" if code == "unknown_column" else "may have no column"
            message = f"{file.name} {problem} {name!r}; it has {', '.join(map(repr, known)) or 'none'}"
            context.faults.add(code, message, file=file.id, column=name)
            return None
    return source


def _join(
    source: Source, folder: str, positions: dict[str, int], known: NDArray[np.int64], context: Context, *, once: bool
) -> Given:
    """Which row speaks of which item; `known` counts the rows of each, and counts on."""
    earlier, tells = known.copy(), any(head.name != FILE_NAME and is_prose(head) for head in source.heads)
    has_split = any(head.name == SPLIT for head in source.heads)
    loaded = source.load(Wanted(names=[FILE_NAME, *([SPLIT] if has_split else [])]), context)
    files = loaded.names[FILE_NAME]
    rows, items, turns = [], [], []
    if not len(files.codes):
        names = some([head.name for head in source.heads])
        message = f"{source.file.name} is a header alone, {names}; add a row for every file, or take it out"
        context.faults.add("no_rows", message, file=source.file.id)

    def fault(code: str, row: int, column: str, problem: str) -> None:
        number = loaded.file_row(row)
        message = f"{source.file.name}, row {number:,}: {problem}"
        context.faults.row(code, message, file=source.file.id, row=number, column=column)

    for row, code in enumerate(files.codes):
        name = files.names[code] if code >= 0 else ""
        item = positions.get(posixpath.normpath(posixpath.join(folder, name)))
        if item is None:
            fault("missing_file", row, FILE_NAME, f"{shown(name)} is not in the archive")
        elif earlier[item] or (known[item] and not tells):
            fault("duplicate_row", row, FILE_NAME, f"{shown(name)} has a row already")
        elif not (known[item] and once):
            rows.append(row)
            items.append(item)
            turns.append(known[item])
            known[item] += 1
    if has_split and not context.faults.drops:  # else such rows are left out when all are assigned
        given = loaded.names[SPLIT]
        for row in np.flatnonzero(~np.isin(given.codes, _known(given))).tolist():
            value = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
            fault("unknown_split", row, SPLIT, f"{shown(value)} is no split; give train, validation, test")
    return Given(source, *(np.array(each, np.int64) for each in (rows, items, turns)))


def _heads(source: Source) -> list[Head]:
    """Lists of numbers are of no use beside items, and stand there as such."""
    others = [head for head in source.heads if head.name != FILE_NAME]
    return [Head(head.name, "table", OTHER, distinct=2, sampled=2) if head.shape else head for head in others]


def _known(given: Coded) -> list[int]:
    return [number for number, name in enumerate(given.names) if is_split(name)]
