"""Reads archives of texts kept as files: every file is a row, and folders or a table beside them say what it is.

Their letters are brought to UTF-8 in a temporary file, one text after the other.
"""

import io
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.dataset_options import DatasetOptions
from worker.ingest.archives import foreign
from worker.ingest.archives.containers import BROKEN, Archive, Member
from worker.ingest.archives.folders import code, split_of
from worker.ingest.archives.item_names import Names, stem
from worker.ingest.archives.items import Items, contents, list_items
from worker.ingest.archives.keyed import read
from worker.ingest.archives.naming import TABLE, Said, tell_apart
from worker.ingest.faults import counted, some
from worker.ingest.mapping import Mapped
from worker.ingest.readers import encoding
from worker.ingest.readers.heads import text_head
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BYTE, RaggedStage

TEXT = "text"
NAMED = re.compile(r"(\.(txt|text|md|markdown|rst|html?|eml)|(^|/)[^./]+|\.\d*|\.[0-9a-f]{16,})$", re.IGNORECASE)
"""Names of texts: also without an ending, and with a number or a checksum for one, as mails have it."""
FEW = 10
"""Texts in one folder: fewer are several whose lines or paragraphs are meant as rows."""
LOOKED_AT = 64
FIRST = 4096
"""Bytes of each of those, to see that they are texts, and of how many words."""
MARK = "\ufeff"
NOTE = "every file of {} is a row; send texts whose lines are rows as files of their own"


@dataclass(frozen=True)
class Documents:
    """Texts, with what is said of them."""

    items: Items
    heads: Sequence[Head]
    options: DatasetOptions

    @property
    def file(self) -> Input:
        return self.items.file

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        said, own = self.items.load(wanted, context), self.items.column
        if own in (*wanted.ragged, *wanted.names):
            texts = self._texts(context)
            said = replace(said, ragged={**said.ragged, own: texts})
            if own in wanted.names:
                said.names[own] = code(
                    [texts.read(row, row + 1).row(0).tobytes().decode() for row in range(len(texts))]
                )
        return replace(said, bad=sorted({*self.items.bad, *said.bad}))

    def _texts(self, context: Context) -> Mapped:
        stage = RaggedStage(context)
        for row in range(len(self.items.members)):
            content = None if row in self.items.bad else self.items.read(row, context.faults)
            text = b"" if content is None else self._decoded(content, row, context)
            context.tick(0)
            stage.add(np.frombuffer(text, BYTE), np.array([len(text)]))
        return stage.mapped()

    def _decoded(self, content: bytes, row: int, context: Context) -> bytes:
        """A text as UTF-8 without a mark; nothing where there is none, and the fault says why."""
        where = f"{self.file.name}, {self.items.members[row].path},"
        stranger = _stranger(content, where)
        if stranger:
            self.items.refuse("no_text", f"{where} {stranger}", row, context.faults)
            return b""
        codec = encoding.certain(content) or self.options.encoding or encoding.OURS
        try:
            return content.decode(codec).removeprefix(MARK).encode()
        except UnicodeDecodeError as error:
            code = "not_utf8" if codec == encoding.OURS else "wrong_encoding"
            self.items.refuse(code, f"{where} {encoding.problem(error, codec)}", row, context.faults)
            return b""


def tell_texts(archive: Archive, tables: Sequence[Member]) -> Said | None:
    """The texts of an archive with neither pictures nor recordings, and what says more of them; None where it has
    none, or has `tables` that are no such thing."""
    members, rows = contents(archive), {member.path for member in tables}
    found = [member for member in members if NAMED.search(member.path) and member.path not in rows]
    above = {folder for member in found for folder in _above(posixpath.dirname(member.path))}
    inside = [member for member in found if posixpath.dirname(member.path) not in above]
    texts = inside if 2 * len(inside) > len(found) else found  # lists and notes lie above the folders of texts
    first = texts[:LOOKED_AT]
    folders = {posixpath.dirname(member.path) for member in texts}
    if len(texts) < (FEW if len(folders) == 1 else 2):
        return None
    if 2 * sum(not _stranger(_first(member), member.path) for member in first) <= len(first):
        return None
    if len(members) < len(archive.members):  # a metadata file counts alone
        return Said(texts, [])
    said, names = tell_apart([*texts, *tables], "", TABLE), Names([member.path for member in texts])
    if not tables or 2 * len(set(_named(tables, names))) > len(texts):
        return said
    aside = all(posixpath.dirname(table.path) in above and not split_of(stem(table.path)) for table in tables)
    return Said(texts, []) if aside and len(folders) > 1 and len(texts) >= FEW else None


def open_documents(archive: Archive, said: Said, options: DatasetOptions, context: Context) -> Documents:
    """Lists the texts, and looks at the first ones."""
    items = list_items(archive, said, "text", TEXT, context)
    texts = {member.path for member in said.items}
    others = [member.path for member in contents(archive) if member.path not in texts]
    if others and not said.tables:
        passed_over = f"{archive.file.name}: {counted(len(others), 'file')} passed over, {some(others)}"
        context.inferred["files"].append(passed_over)
    sample = [_first(member).decode(options.encoding or encoding.OURS, "replace") for member in said.items[:LOOKED_AT]]
    head = replace(text_head(TEXT, sample), medium="", encoded="", note=NOTE.format(archive.file.name) + items.note)
    return Documents(items, [head, *items.heads], options)


def _named(tables: Sequence[Member], names: Names) -> Iterator[str]:
    """The texts that tables name."""
    for table in filter(None, (read(member, names) for member in tables)):
        folder = posixpath.dirname(table.member.path)
        yield from filter(None, (names.find(name, folder) for name in table.called()))


def _above(folder: str) -> Iterator[str]:
    """The folders in which a folder lies."""
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def _stranger(content: bytes, name: str) -> str | None:
    """What a file is, in words, that is no text."""
    first = content[:FIRST]
    stranger = foreign.recognise(first, io.BytesIO(content), name)
    if stranger or encoding.certain(first) not in (None, encoding.OURS):
        return stranger
    return "is no text: it holds zeros" if b"\0" in content else None


def _first(member: Member) -> bytes:
    try:
        return next(iter(member.chunks()), b"")[:FIRST]
    except (*BROKEN, ValueError):
        return b""
