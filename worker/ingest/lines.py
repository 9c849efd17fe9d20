"""Reads plain text: every line, or every paragraph, is a row. Holds a block of a few megabytes.

Empty lines are no rows, except in files that stand side by side (`corpus.de`, `corpus.en`): their lines must stay
level.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.ingest import encoding
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BYTE, RaggedStage
from worker.ingest.staging import text_head

BLOCK_BYTES = 4 << 20
MOST_ROW = 64 << 20
"""Bytes of one row at most."""
SAMPLE_BYTES = 1 << 18
SAMPLE_ROWS = 1000
LINE_FEED, SPACE = 10, 32
GAP = re.compile(rb"\n(?:[ \t]*\n)+")
TEXT = "text"


@dataclass(frozen=True)
class Lines:
    """A plain text as one column."""

    file: Input
    heads: Sequence[Head]
    paragraphs: bool
    level: bool
    """Whether empty lines are rows."""

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        stage, skipped = RaggedStage(context), [np.zeros(0, np.int64)]
        seen = 0
        for block in _blocks(self.file, GAP if self.paragraphs else None):
            if not block or context.faults.total:
                break
            values, lengths = _paragraphs(block) if self.paragraphs else _lines(block)
            if not self._is_utf8(block, seen, context):
                break
            blank = np.flatnonzero(lengths == 0) if not self.level else skipped[0]
            skipped.append(blank + seen + 1)
            seen += len(lengths)
            stage.add(values, np.delete(lengths, blank))
            context.tick(0)
        else:
            return Loaded(stage.rows, ragged={self.heads[0].name: stage.mapped()}, skipped=np.concatenate(skipped))
        if not context.faults.total:
            what = "a paragraph" if self.paragraphs else "a line"
            message = f"{self.file.name} has {what} of more than {MOST_ROW:,} bytes behind row {stage.rows:,}"
            context.faults.add("line_too_long", message, file=self.file.id, row=stage.rows + 1)
        return Loaded(stage.rows, ragged={self.heads[0].name: stage.mapped()})

    def _is_utf8(self, block: bytes, seen: int, context: Context) -> bool:
        try:
            block.decode()
        except UnicodeDecodeError as error:
            line = block[: error.start].count(b"\n")
            encoding.refuse(self.file, block.split(b"\n")[line], context.faults, row=seen + line + 1)
            return False
        return True


def open_lines(file: Input, name: str | None, *, paragraphs: bool) -> Lines:
    """`name` is given to columns that stand beside those of other files."""
    file.stream.seek(0)
    first = file.stream.read(SAMPLE_BYTES).removeprefix(encoding.MARK).decode("utf-8", "replace")
    sample = [text for text in first.splitlines() if text.strip()][:SAMPLE_ROWS]
    return Lines(file, [text_head(name or TEXT, sample)], paragraphs, level=name is not None)


def _blocks(file: Input, gap: re.Pattern[bytes] | None) -> Iterator[bytes]:
    """Whole rows, line feeds at their ends and nowhere else; an empty block is a row that is too long."""
    file.stream.seek(0)
    rest = file.stream.read(len(encoding.MARK)).removeprefix(encoding.MARK)
    while chunk := file.stream.read(BLOCK_BYTES):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if gap is not None and end:
            breaks = [found.end() for found in gap.finditer(rest, max(0, len(rest) - len(chunk) - 2), end)]
            end = breaks[-1] if breaks else 0
        if end:
            yield _line_feeds(rest[:end])
            rest = rest[end:]
        elif len(rest) > MOST_ROW:
            yield b""
            return
    if rest.strip() or (gap is None and rest):
        yield _line_feeds(rest).removesuffix(b"\n") + b"\n"


def _lines(block: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all lines without their ends, and every line's length; lines of white space are empty."""
    values = np.frombuffer(block, BYTE)
    ends = np.flatnonzero(values == LINE_FEED)
    lengths = np.diff(ends, prepend=-1) - 1
    keep = values != LINE_FEED
    starts = ends - lengths
    if (values[starts] <= SPACE).any():  # a line that begins with a space may hold nothing else
        blank = np.add.reduceat(values > SPACE, starts) == 0
        keep &= ~np.repeat(blank, lengths + 1)
        lengths = np.where(blank, 0, lengths)
    return values[keep], lengths


def _line_feeds(block: bytes) -> bytes:
    return block.replace(b"\r\n", b"\n") if b"\r" in block else block


def _paragraphs(block: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    found = [part.strip(b"\n") for part in GAP.split(block)]
    rows = [part for part in found if part.strip()]
    return np.frombuffer(b"".join(rows), BYTE), np.array([len(row) for row in rows], np.int64)
