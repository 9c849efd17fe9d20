"""Columns whose rows are whole pictures or recordings, as bytes or in base64: in Parquet, Arrow, JSON lines, tables.

They are laid aside once and read from there as the members of an archive are. Knows no table's format.
"""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.dataset_options import DatasetOptions
from worker.ingest.archives import images, recordings
from worker.ingest.archives.containers import Member
from worker.ingest.archives.items import Items
from worker.ingest.mapping import Mapped
from worker.ingest.source import Context, Head, Loaded, Source, Wanted

BASE64 = b";base64,"
HEADER = 64
"""Bytes within which a `data:` URI's own words end."""


@dataclass(frozen=True)
class Cells(Sequence[Member]):
    """A column's rows as members, made when they are asked for."""

    column: str
    rows: Mapped
    encoded: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> Member:  # type: ignore[override]
        def chunks() -> Iterator[bytes]:
            cell = self.rows.read(row, row + 1).row(0).tobytes()
            if self.encoded == "base64":
                place = cell.find(BASE64, 0, HEADER)
                cell = base64.b64decode(cell[place + len(BASE64) :] if place >= 0 else cell, validate=True)
            yield cell

        return Member(self.column, int(self.rows.held[row : row + 1].lengths[0]), chunks)


@dataclass(frozen=True)
class Beside:
    """The other columns of the table."""

    source: Source
    rows: int
    heads: dict[str, Head]

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        return self.source.load(wanted, context) if wanted.columns else Loaded(self.rows)


def open_cells(source: Source, head: Head, options: DatasetOptions, context: Context) -> Source:
    """The table with its column `head` as pictures of one size, or as recordings of one rate."""
    cells = source.load(Wanted(ragged=[head.name]), context).ragged[head.name]
    others = {each.name: each for each in source.heads if each.name != head.name}
    members = Cells(head.name, cells, head.encoded)
    beside = Beside(source, len(members), others)
    noun = "recording" if head.medium == "audio" else "picture"
    items = Items(source.file, noun, head.name, members, list(others.values()), {}, beside)
    if head.medium == "audio":
        opened: Source = recordings.open_items(items, options.sample_rate, context)
    else:
        opened = images.open_items(items, None, options, context)
    cells.release()
    return opened
