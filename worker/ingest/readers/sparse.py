"""Reads sparse rows of text in the manner of svmlight and libsvm: `target index:value …`, indices ascending.

What is not written is 0. Rows become one array, as wide as the largest index in any such file of the dataset says; text
is parsed a block at a time, as arrays. Legend: `N` rows, `W` numbers of one, `P` pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from worker.ingest.faults import shown
from worker.ingest.mapping import map_array
from worker.ingest.readers.arrays import Arrays, Placed
from worker.ingest.readers.dialect import TABULAR
from worker.ingest.readers.unpack import CHUNK, is_bomb, refuse
from worker.ingest.source import Context, Head, Input, Loaded, Wanted

FEATURES, TARGET, QUERY = "features", "target", "qid"
NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
LINE = rb"%s(?: qid:\d{1,15})?(?: \d{1,9}:%s)*" % (NUMBER, NUMBER)
ROW, ROWS = re.compile(LINE), re.compile(rb"(?:%s\n)*+" % LINE)
PAIR = re.compile(rb" (\d+):")
COMMENT, BLANKS = re.compile(rb"#[^\n]*"), re.compile(rb"[ \t\r]+")
ZERO_BASED = re.compile(rb"^# Column indices are zero-based", re.MULTILINE)
"""As scikit-learn comments what it writes."""
EDGES = re.compile(rb"^ ?\n|^ | $", re.MULTILINE)
UNTIDY = (b"#", b"\t", b"\r", b"  ", b"\n ", b" \n", b"\n\n")
LOOKED_AT = 50
"""Rows that tell what a text is."""
SAMPLED_ROWS = 100_000
MOST_LINE = 64 << 20
INDEX, VALUE, NUMBERS = np.dtype(np.int32), np.dtype(np.float32), np.dtype(np.float64)


def is_sparse(first: bytes) -> bool:
    """Whether most rows of a text that begins so are sparse: some have pairs, and in each the indices ascend."""
    whole = first[: first.rfind(b"\n") + 1] or first[: first.rfind(b" ") + 1]
    rows = _plain(whole).split(b"\n")[:-1][:LOOKED_AT]
    indices = [list(map(int, PAIR.findall(row))) for row in rows if ROW.fullmatch(row)]
    ascend = all(before < after for row in indices for before, after in pairwise(row))
    return len(indices) >= TABULAR * len(rows) and any(indices) and ascend


def open_sparse(file: Input, context: Context) -> "Sparse":
    """Parses all rows; those that are none are faults, or left out where that was asked for."""
    made, left = Sparse(file, context), b""
    file.stream.seek(0)
    while chunk := file.stream.read(CHUNK):
        block, newline, left = (left + chunk).rpartition(b"\n")
        made.add(block + newline)
        if len(left) > MOST_LINE:
            problem = f"{file.name}, row {made.seen + 1:,}, is longer than {MOST_LINE:,} bytes"
            context.faults.add("line_too_long", f"{problem}; does every row end in a line feed?", file=file.id)
            return made
    made.add(left)
    return made


@dataclass
class Sparse:
    """The rows of one file; they are written out once they are asked for."""

    file: Input
    context: Context
    seen: int = 0
    """Rows of the file that were looked at."""
    skipped: list[int] = field(default_factory=list)
    """Those of them, from 1, that have a fault for which they are left out."""
    _pairs: int = 0
    _has_queries: bool = False
    _targets: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """The different ones of the first SAMPLED_ROWS or so."""
    _sampled: int = 0

    def __post_init__(self) -> None:
        self._staged = {name: self.context.temporary() for name in (TARGET, QUERY, "lengths", "indices", "values")}

    @property
    def rows(self) -> int:
        return self.seen - len(self.skipped)

    @property
    def heads(self) -> Sequence[Head]:
        fractions = bool((self._targets % 1 != 0).any())
        first, width = self._span
        counted = "0" if first == 0 else "1; where they count from 0, write 0:0 in a row"
        note = (
            f"sparse rows, index:value, indices from {counted}; what is not written is 0. format txt reads them as text"
        )
        made = [
            Head(FEATURES, "array", VALUE, (width,), note=note),
            Head(TARGET, "array", NUMBERS, distinct=len(self._targets), sampled=self._sampled, fractions=fractions),
        ]
        return [*made, Head(QUERY, "array", NUMBERS)] if self._has_queries else made

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        columns = [Placed(name, self._flushed(name), 0, NUMBERS, (self.rows,)) for name in (TARGET, QUERY)]
        if any(FEATURES in part for part in wanted.numbers):
            _, width = self._span
            size = self.rows * width * VALUE.itemsize
            if is_bomb(size, self.file.size, context.limit):
                refuse(self.file, f"{self.file.name}, {self.rows:,} rows of {width:,} numbers,", size, context)
                return Arrays(self.file, columns).load(replace(wanted, numbers=[]), context)
            columns.append(self._dense(context))
        return replace(Arrays(self.file, columns).load(wanted, context), skipped=self.skipped)

    def add(self, text: bytes) -> None:
        """Parses whole lines."""
        if ZERO_BASED.search(text):
            self.context.spans.append((0, 0))
        text = _plain(text)
        if not ROWS.fullmatch(text):
            text = self._judged(text)
        self.seen += text.count(b"\n")
        self.context.tick(0)
        if text:
            self._stage(text)

    def _judged(self, text: bytes) -> bytes:
        """The rows that are none are faults; the others."""
        good = []
        for row in text.split(b"\n")[:-1]:
            if ROW.fullmatch(row):
                good.append(row)
                continue
            number = self.seen + len(good) + 1
            problem = f"{shown(row[:100].decode('utf-8', 'replace'))} is no target with pairs index:value"
            self.context.faults.row(
                "not_sparse", f"{self.file.name}, row {number:,}: {problem}", file=self.file.id, row=number
            )
            self.skipped.append(number)
            self.seen += 1
        return b"".join(row + b"\n" for row in good)

    def _stage(self, text: bytes) -> None:
        held = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(held == ord("\n"))
        asked = np.diff(np.cumsum(held == ord("q"))[ends], prepend=0)  # [N] 1 where there is a query
        lengths = np.diff(np.cumsum(held == ord(":"))[ends], prepend=0) - asked
        starts = np.cumsum(1 + asked + 2 * lengths) - (1 + asked + 2 * lengths)
        plain = text.replace(b"qid:", b"").replace(b":", b" ").replace(b"\n", b" ").replace(b"+", b"")
        words = pc.split_pattern(pa.scalar(plain[:-1].decode(), pa.large_string()), " ").values
        numbers = pc.cast(words, pa.float64()).to_numpy(zero_copy_only=False)
        queries = np.where(asked > 0, numbers[np.minimum(starts + 1, len(numbers) - 1)], np.nan)
        pairs = np.ones(len(numbers), np.bool_)
        pairs[starts] = pairs[(starts + 1)[asked > 0]] = False
        indices, values = numbers[pairs].reshape(-1, 2).T
        for name, given in ((TARGET, numbers[starts]), (QUERY, queries), ("lengths", lengths)):
            self._staged[name].write(np.ascontiguousarray(given, NUMBERS).data)
        self._staged["indices"].write(indices.astype(INDEX).data)
        self._staged["values"].write(values.astype(VALUE).data)
        self._pairs += len(indices)
        self._has_queries |= bool(asked.any())
        if self._sampled < SAMPLED_ROWS:
            self._targets = np.unique(np.concatenate([self._targets, numbers[starts]]))
            self._sampled += len(starts)
        if len(indices):
            self.context.spans.append((int(indices.min()), int(indices.max())))

    @property
    def _span(self) -> tuple[int, int]:
        """The first index, 1 unless a file has or says 0, and the numbers of a row."""
        first = min((low for low, _ in self.context.spans), default=1)
        return min(first, 1), max((high for _, high in self.context.spans), default=0) + 1 - min(first, 1)

    def _dense(self, context: Context) -> Placed:
        """The rows [N, W], written to a temporary file."""
        first, width = self._span
        lengths, _ = map_array(self._flushed("lengths"), NUMBERS, (self.rows,))
        indices, give_indices_back = map_array(self._flushed("indices"), INDEX, (self._pairs,))
        values, give_values_back = map_array(self._flushed("values"), VALUE, (self._pairs,))
        made, step = context.temporary(), max(1, CHUNK // max(1, width))
        done = 0
        for start in range(0, self.rows, step):
            here = lengths[start : start + step].astype(np.int64)
            block = np.zeros((len(here), width), VALUE)
            stop = done + int(here.sum())
            block[np.repeat(np.arange(len(here)), here), indices[done:stop] - first] = values[done:stop]
            made.write(block.data)
            done = stop
            give_indices_back()
            give_values_back()
            context.tick(0)
        made.flush()
        return Placed(FEATURES, made, 0, VALUE, (self.rows, width))

    def _flushed(self, name: str) -> Any:
        self._staged[name].flush()
        return self._staged[name]


def _plain(text: bytes) -> bytes:
    """Rows without comments, one blank between words, none at the edges; each ends in a line feed."""
    lines = text if text.endswith(b"\n") or not text else text + b"\n"
    if text.startswith((b" ", b"\n")) or any(mark in lines for mark in UNTIDY):
        lines = EDGES.sub(b"", BLANKS.sub(b" ", COMMENT.sub(b"", lines)))
    return lines
