"""Reads plain text: every line, or every paragraph, is a row. Rows stay where they lie in the mapped file; where each
begins and ends is noted. Holds a block of a few megabytes.

Empty lines are no rows, except in files that stand side by side (`corpus.de`, `corpus.en`): their lines must stay
level.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.mapping import map_array
from worker.ingest.pipeline import ahead
from worker.ingest.readers import encoding
from worker.ingest.readers.heads import text_head
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BYTE, OFFSET, Apart
from worker.ingest.texts import DELETE, FOREIGN, LINE_FEED, SPACE, TAB

BLOCK_BYTES = 4 << 20
MOST_ROW = 64 << 20
"""Bytes of one row at most."""
LINE_BYTES = 1 << 12
"""Among which the end of a line is looked for at once."""
SAMPLE_BYTES = 1 << 18
SAMPLE_ROWS = 1000
RETURN = 13
NOWHERE = -1
TEXT = "text"
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Spans:
    """Rows of a block: where they begin and end, ascending, and what is known of all bytes there."""

    starts: Places
    ends: Places
    highest: int
    """The greatest byte."""
    is_plain: bool
    """ASCII without control characters but tabs and line feeds; False where that was not looked for."""


@dataclass(frozen=True)
class Lines:
    """A plain text as one column."""

    file: Input
    heads: Sequence[Head]
    paragraphs: bool
    level: bool
    """Whether empty lines are rows."""

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        values, release = map_array(self.file.stream, BYTE, (self.file.size,))
        staged, skipped = context.temporary(), [np.zeros(0, np.int64)]
        seen = rows = 0
        stops, plain = [], []
        for spans in (_paragraphs if self.paragraphs else _lines)(values):
            starts, ends = spans.starts, spans.ends
            if context.faults.total:
                break
            long = np.flatnonzero(ends - starts > MOST_ROW)
            if len(long):
                what = "a paragraph" if self.paragraphs else "a line"
                row = seen + int(long[0])
                message = f"{self.file.name} has {what} of more than {MOST_ROW:,} bytes behind row {row:,}"
                context.faults.add("line_too_long", message, file=self.file.id, row=row + 1)
                break
            if spans.highest >= FOREIGN:
                self._check(values, starts, ends, seen, context)
            blank = np.flatnonzero(starts == ends) if not self.level else skipped[0]
            skipped.append(blank + seen + 1)
            seen += len(starts)
            rows += len(starts) - len(blank)
            stops.append(rows)
            plain.append(spans.is_plain)
            places = np.stack([starts, ends], axis=1)
            staged.write((np.delete(places, blank, axis=0) if len(blank) else places).data)
            release()
            context.tick(0)
        staged.flush()
        offsets, give_back = map_array(staged, OFFSET, (2 * rows,))

        def release_all() -> None:
            release()
            give_back()

        column = Apart(Ragged(values, offsets), release_all, stops=np.array(stops, OFFSET), plain=np.array(plain, bool))
        return Loaded(rows, ragged={self.heads[0].name: column}, skipped=np.concatenate(skipped))

    def _check(self, values: NDArray[np.uint8], starts: Places, ends: Places, seen: int, context: Context) -> None:
        """Adds the fault of rows that are not UTF-8."""
        try:
            values[starts[0] : ends[-1]].tobytes().decode()
        except UnicodeDecodeError as error:
            row = int(np.searchsorted(starts, starts[0] + error.start, side="right")) - 1
            encoding.refuse(self.file, values[starts[row] : ends[row]].tobytes(), context.faults, row=seen + row + 1)


def open_lines(file: Input, name: str | None, *, paragraphs: bool) -> Lines:
    """`name` is given to columns that stand beside those of other files."""
    file.stream.seek(0)
    first = file.stream.read(SAMPLE_BYTES).removeprefix(encoding.MARK).decode("utf-8", "replace")
    sample = [text for text in first.splitlines() if text.strip()][:SAMPLE_ROWS]
    return Lines(file, [text_head(name or TEXT, sample)], paragraphs, level=name is not None)


def _lines(values: NDArray[np.uint8]) -> Iterator[Spans]:
    """The lines of a block, without their ends; those of white space alone are empty."""

    def find(block: tuple[int, int]) -> Spans:
        first, stop = block
        highest = int(values[first:stop].max(initial=0))
        low = np.flatnonzero(values[first:stop] < SPACE) + first  # one look finds line ends and what is not plain
        kinds = values[low]
        is_end = kinds == LINE_FEED
        is_plain = highest < DELETE and bool((is_end | (kinds == TAB)).all())
        ends = low[is_end]
        if not len(ends) or ends[-1] < stop - 1:
            ends = np.append(ends, stop)
        starts = np.concatenate([[first], ends[:-1] + 1])
        if not is_plain:
            ends -= (ends > starts) & (values[ends - 1] == RETURN)
        if (values[starts] <= SPACE).any():  # a line that begins so may hold nothing else
            visible = np.add.reduceat(values[first:stop] > SPACE, starts - first)
            ends = np.where(visible == 0, starts, ends)
        return Spans(starts, ends, highest, is_plain)

    start = len(encoding.MARK) if values[: len(encoding.MARK)].tobytes() == encoding.MARK else 0
    for _, found in ahead(line_blocks(values, start, BLOCK_BYTES, MOST_ROW), find):
        yield found


def line_blocks(values: NDArray[np.uint8], start: int, size: int, most: int) -> Iterator[tuple[int, int]]:
    """Where blocks of whole lines begin and end: of `size` bytes, and at most `most` further ones to the end of the
    last line, else the block ends without it."""
    while start < len(values):
        stop = start + size
        while stop < min(start + size + most, len(values)):
            found = np.flatnonzero(values[stop : stop + LINE_BYTES] == LINE_FEED)
            if len(found):
                stop += int(found[0]) + 1
                break
            stop += LINE_BYTES
        stop = min(stop, len(values))
        yield start, stop
        start = stop


def _paragraphs(values: NDArray[np.uint8]) -> Iterator[Spans]:
    """The paragraphs: lines with no empty one between them."""
    begin, end, goes_on = NOWHERE, NOWHERE, False
    highest, is_plain = 0, True
    for spans in _lines(values):
        starts, ends = spans.starts, spans.ends
        highest, is_plain = max(highest, spans.highest), is_plain and spans.is_plain
        filled = np.flatnonzero(ends > starts)
        fresh = np.flatnonzero(np.diff(filled, prepend=-1 if goes_on else -2) > 1)  # those that begin a paragraph
        begins = np.concatenate([[begin], starts[filled[fresh]]])
        done = np.concatenate([[end], ends[filled]])
        here = slice(begin == NOWHERE, None)
        if len(fresh[here]):
            yield Spans(begins[:-1][here], done[fresh][here], highest, is_plain)
        if len(fresh):  # the one that is open began here
            highest, is_plain = spans.highest, spans.is_plain
        begin, end = int(begins[-1]), int(done[-1])
        goes_on = len(filled) > 0 and filled[-1] == len(starts) - 1
    if begin != NOWHERE:
        yield Spans(np.array([begin]), np.array([end]), highest, is_plain)
