"""What archives of pictures and of recordings have in common: folders and metadata files say what each item is, and
items are unpacked one after the other on a few threads. Of an item, path and size are held; its content only while it
is in work. Knows neither pixels nor samples.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np

from app.errors import Malformed, TooLarge
from worker.ingest.archives.containers import BROKEN, Archive, Member, open_tar, open_zip
from worker.ingest.archives.folders import LABEL_NOTE, SPLIT_NOTE, read_folders
from worker.ingest.archives.item_names import Names
from worker.ingest.archives.keyed import SPLIT, with_file_name
from worker.ingest.archives.listed import as_lines
from worker.ingest.archives.metadata import NAME, Metadata, read_metadata
from worker.ingest.archives.naming import Said, tell_apart, why_unread
from worker.ingest.archives.shares import read_splits, unlisted
from worker.ingest.faults import Faults, counted, shown, some
from worker.ingest.readers.heads import TEXT
from worker.ingest.source import Coded, Context, Head, Input, Loaded, Wanted

MOST_BYTES = 64 << 20
"""Of one item's file."""
THREADS = min(4, os.cpu_count() or 1)
T = TypeVar("T")


class Described(Protocol):
    """Further columns of the items, one row for each."""

    @property
    def heads(self) -> Mapping[str, Head]: ...

    def load(self, wanted: Wanted, context: Context) -> Loaded: ...


@dataclass(frozen=True)
class Items:
    """The items of an archive; row numbers count them in the archive's order."""

    file: Input
    noun: str
    """What an item is called."""
    column: str
    """Of the items themselves."""
    members: Sequence[Member]
    heads: Sequence[Head] = ()
    """Of the columns that folders and metadata files give."""
    folders: Mapping[str, Coded] = field(default_factory=dict)
    """Label and split, where folders give them."""
    metadata: Described = field(default_factory=lambda: Metadata(np.zeros(0, np.int64)))
    """What a metadata file, or the table that holds the items, says."""
    described: str = ""
    """By what, where no metadata file does it."""
    junk: int = 0
    bad: set[int] = field(default_factory=set)
    """Rows, from 0, that have a fault for which they are left out; found while looking and while unpacking."""
    is_listed: bool = False
    """Whether lists tell the splits: what none of them has is left out where splits are wanted."""

    @property
    def note(self) -> str:
        """What describes the items and what was passed over, to be added to a head's note."""
        passed_over = f"; passed over: {counted(self.junk, 'other file')}" if self.junk else ""
        return (f"; {self.described} says more of them" if self.described else "") + passed_over

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        """What is said of the items; their own column is left to who knows what they hold."""
        names = {name: self.folders[name] for name in wanted.names if name in self.folders}
        rest = Wanted(
            [part for part in wanted.numbers if list(part) != [self.column]],
            [name for name in wanted.names if name not in names],
            [name for name in wanted.ragged if name != self.column],
        )
        said = self.metadata.load(rest, context)
        paths = [member.path for member in self.members] if self.is_listed and SPLIT in names else []
        bad = [*said.bad, *unlisted(self.file, paths, names[SPLIT], context)] if paths else said.bad
        return replace(said, rows=len(self.members), names={**said.names, **names}, bad=bad)

    def fits(self, size: int, what: str, remedy: str, context: Context) -> None:
        """Adds a fault where `size` bytes are more than may be unpacked."""
        if size > context.limit:
            there = f"{self.file.name}: {len(self.members):,} {what} come to {size:,} bytes"
            message = f"{there}, {context.limit:,} are allowed; {remedy}"
            context.faults.add("unpacks_too_large", message, file=self.file.id)

    def look(self, at: Callable[[bytes, str], T], context: Context) -> Iterator[T]:
        """What `at` finds, by the header alone, in every item that can be read. It takes content and name."""
        found: T | None = None
        for row, member in enumerate(self.members):
            if found is not None and self._again(row):
                yield found
                continue
            found, content = None, self.read(row, context.faults) if row not in self.bad else None
            context.tick(0)
            if content is None:
                continue
            try:
                found = at(content, f"{self.file.name}, {self.noun} {row + 1:,}, {member.path}")
                yield found
            except TooLarge as error:
                self.refuse(f"{self.noun}_too_large", error.message, row, context.faults)
            except Malformed as error:
                why = why_unread(member, self.noun)
                problem = f"{self.file.name}, {member.path}: {why}, or take it out" if why else error.message
                self.refuse(f"no_{self.noun}", problem, row, context.faults, remedy=not why)
        context.faults.cut_short |= context.faults.total > 0  # nobody unpacks what has faults in its headers

    def unpack(self, work: Callable[[bytes, str], T], context: Context) -> Iterator[T | None]:
        """What `work` makes of every item, in order; None for those that are damaged or left out already."""
        waiting: deque[tuple[int, Future[T] | None]] = deque()

        def oldest() -> T | None:
            row, future = waiting.popleft()
            context.tick(0)
            try:
                return future.result() if future is not None else None
            except (Malformed, TooLarge) as error:
                self.refuse(f"damaged_{self.noun}", error.message, row, context.faults)
                return None

        with ThreadPoolExecutor(THREADS) as pool:
            for row, member in enumerate(self.members):
                if self._again(row):
                    waiting.append((row, waiting[-1][1]))
                else:
                    content = self.read(row, context.faults) if row not in self.bad else None
                    name = f"{self.file.name}, {member.path}"
                    waiting.append((row, pool.submit(work, content, name) if content is not None else None))
                if len(waiting) > 2 * THREADS:
                    yield oldest()
            while waiting:
                yield oldest()

    def _again(self, row: int) -> bool:
        """Whether it is the item of the row before, of which several texts are known."""
        return row > 0 and self.members[row] is self.members[row - 1]

    def read(self, row: int, faults: Faults) -> bytes | None:
        """An item's file; None where that cannot be read, and the fault says why."""
        member = self.members[row]
        where = f"{self.file.name}, {self.noun} {row + 1:,}, {shown(member.path)}:"
        if member.size > MOST_BYTES:
            problem = f"{where} is a file of {member.size:,} bytes; at most {MOST_BYTES:,} are read"
            self.refuse(f"{self.noun}_too_large", problem, row, faults)
            return None
        try:
            return member.read()
        except (*BROKEN, ValueError) as error:
            self.refuse("damaged", f"{where} cannot be unpacked: {error}", row, faults)
            return None

    def refuse(self, code: str, message: str, row: int, faults: Faults, *, remedy: bool = True) -> None:
        """The first fault of an item, for which its row may be left out."""
        if row not in self.bad:
            self.bad.add(row)
            if remedy and not faults.drops:
                message += f'. Replace it, or ask for "on_fault": "drop" to leave such {self.noun}s out'
            faults.row(code, message, file=self.file.id, row=row + 1, column=self.column)


def open_archive(file: Input, kind: str, context: Context) -> Archive:
    """Lists the members; `kind` is zip or tar."""
    archive = open_zip(file, context) if kind == "zip" else open_tar(file, context)
    archive.members = [as_lines(member) for member in archive.members]
    return archive


def contents(archive: Archive) -> list[Member]:
    """The members that are items."""
    return [member for member in archive.members if not NAME.search(member.path)]


def told_apart(archive: Archive, text: str = "") -> Said:
    """The members that are items, and those that say more of them where no metadata file does; `text` is the column of
    texts that lie beside."""
    members = contents(archive)
    return Said(members, []) if len(members) < len(archive.members) else tell_apart(members, text)


def list_items(archive: Archive, said: Said, noun: str, column: str, context: Context, *, once: bool = False) -> Items:
    """Finds out what folders and metadata files say of the items.

    An item of which several texts are known is there with each, if not `once`.
    """
    file, members = archive.file, said.items
    metadata = [member for member in archive.members if NAME.search(member.path)]
    complete = bool(metadata)
    if metadata:
        names = Names([member.path for member in members])
        metadata = [with_file_name(member, names) for member in metadata]
    else:
        metadata = said.tables
    if not members:
        if not context.faults.total:
            message = f"{file.name} holds no pictures and no recordings"
            context.faults.add("no_rows", message, file=file.id)
        return Items(file, noun, column, [])
    paths = [member.path for member in members]
    labels, splits, folders = read_folders(archive, paths, context)
    if said.lists:
        splits = read_splits(archive, said.lists, paths, context)
    known = read_metadata(archive, metadata, paths, column, context, complete=complete, once=once)
    members = [members[number] for number in known.items.tolist()]
    heads = list(known.heads.values())
    by_folder: dict[str, Coded] = {}
    if labels is not None and not set(known.heads) - {"split"}:
        heads.append(Head("label", "table", TEXT, note=LABEL_NOTE.format(noun)))
        by_folder["label"] = Coded(labels.names, labels.codes[known.items])
    if splits is not None and "split" not in known.heads:
        by_folder["split"] = splits = Coded(splits.names, splits.codes[known.items])
        lists = some([table.member.path for table, _ in said.lists])
        note = f"the lists {lists}" if said.lists else SPLIT_NOTE.format(folders)
        heads.append(Head("split", "table", TEXT, note=note))
    bad, junk, is_listed = set(known.unlisted), archive.junk + said.passed_over, bool(said.lists)
    return Items(file, noun, column, members, heads, by_folder, known, said.named, junk, bad, is_listed)
