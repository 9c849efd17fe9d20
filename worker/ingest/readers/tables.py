"""Reads CSV and its kin (tab, semicolon), a block at a time, through pyarrow.

A file is read as it should be first; where that fails, again and with care, so that what is wrong can be named.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from worker.ingest.faults import shown, some
from worker.ingest.mapping import map_array
from worker.ingest.readers import encoding
from worker.ingest.readers.cells import plainly, to_numbers
from worker.ingest.readers.dialect import DELIMITERS, NOTHING, Written, find_dialect
from worker.ingest.readers.glued import cut_headers, tell_headers
from worker.ingest.readers.header import all_differ, listed
from worker.ingest.readers.heads import cells_head
from worker.ingest.readers.staging import Staging
from worker.ingest.readers.unquoted import parse_unquoted
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BYTE

SAMPLE_BYTES = 1 << 20
NAMES = pa.dictionary(pa.int32(), pa.string())
BLOCK_BYTES = 4 << 20
"""Bytes of one row at most, give or take a block."""
COLUMN_BYTES = 2048
"""Of a column in a block, at least: a wide table has work to do for every one."""
csv.field_size_limit(BLOCK_BYTES)  # as much as the sample may hold; the module's own limit is far smaller


@dataclass(frozen=True)
class Table:
    """A file of delimited text. Without a header its columns are f0, f1 …"""

    file: Input
    heads: Sequence[Head]
    delimiter: str = ","
    skipped: int = 0
    """Lines in front of the first row."""
    written: Mapping[str, Written] = field(default_factory=dict)
    """How numbers are written in columns where they are no plain ones."""
    names: Sequence[str] = ()
    """Of all columns as they stand, with a stand-in for each of `empty`."""
    empty: Mapping[str, int] = field(default_factory=dict)
    """Stand-ins of columns without name and, as far as anybody looked, without value: their places."""
    repeated: bool = False
    """Whether there are lines that repeat the header, to be passed over."""

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        try:
            return self._read(wanted, context, trusting=not self.repeated)
        except pa.ArrowInvalid:  # a cell or a row is not as expected: again, to say which, or to leave it out
            return self._read(wanted, context, trusting=False)

    def _read(self, wanted: Wanted, context: Context, *, trusting: bool) -> Loaded:
        """Trusting, numbers are read as such on several threads, and whatever is wrong ends it with pa.ArrowInvalid.

        Else every cell is read as text first, so that each one that is no number can be named.
        """
        names, faults = list(self.names), context.faults
        staging = Staging(self.file, self.heads, wanted, context)
        numbers = {name for part in wanted.numbers for name in part}
        plain = numbers - self.written.keys()
        stopped = False

        def note(row: Any) -> str:
            nonlocal stopped
            number = row.number
            if _is_open(row.text, self.delimiter):
                self._refuse_quote(number, context)
                stopped = True
                return "error"
            staging.skipped.append(number)
            faults.row(
                "ragged_row",
                f"{self.file.name}, row {number:,} has {row.actual_columns} cells instead of "
                f"{row.expected_columns}: {shown(row.text)}",
                file=self.file.id,
                row=number,
            )
            return "skip"

        parsing = arrow_csv.ParseOptions(
            delimiter=self.delimiter,
            newlines_in_values=True,
            invalid_row_handler=None if trusting else note,
            ignore_empty_lines=len(names) > 1,  # in a lone column an empty line is an empty cell
        )
        types = dict.fromkeys(names, pa.string())
        if trusting:
            types |= dict.fromkeys(set(wanted.names) - numbers - set(wanted.ragged), NAMES)
            types |= dict.fromkeys(plain, pa.float64())
        converting = arrow_csv.ConvertOptions(
            column_types=types,
            include_columns=list(dict.fromkeys([*wanted.columns, *self.empty, names[-1]])),
            null_values=NOTHING,
        )
        try:
            end = None
            for batch in self._batches(names, parsing, converting, trusting=trusting):
                batch = cut_headers(batch, staging) if self.repeated or not trusting else batch
                columns = {name: batch.column(name) for name in wanted.columns}
                for name in self.empty:
                    self._check_empty(batch.column(name), name, None if trusting else staging)
                for name in numbers & self.written.keys():
                    columns[name] = plainly(columns[name], self.written[name])
                for name in numbers - plain if trusting else numbers:
                    columns[name] = to_numbers(columns[name], name, None if trusting else staging)
                staging.add(columns, batch.num_rows)
                if wanted.first and staging.rows:
                    return staging.loaded()
                end = batch.column(names[-1])[-1].as_py() if batch.num_rows else end
            if isinstance(end, str) and "\n" in end and not self._ends_in_quote():
                row = staging.file_row(staging.rows - 1)
                if not staging.skipped or staging.skipped[-1] < row:  # else the file ends in another row
                    self._refuse_quote(row, context)
        except pa.ArrowInvalid as error:
            if trusting:
                raise
            if "block size" in str(error):
                row = staging.rows + len(staging.skipped) + 1
                _refuse_row(self.file, row, context)
            elif not stopped:
                code = "not_utf8" if "UTF8" in str(error) else "damaged"
                faults.add(code, f"{self.file.name} cannot be read as CSV in UTF-8: {error}", file=self.file.id)
        tell_headers(staging, self.file.name, context)
        return staging.loaded()

    def _batches(
        self, names: list[str], parsing: arrow_csv.ParseOptions, converting: arrow_csv.ConvertOptions, *, trusting: bool
    ) -> Iterator[pa.RecordBatch]:
        """Trusting, blocks of rows are read beside each other up to the first quote."""
        stream, size = self.file.stream, max(BLOCK_BYTES, COLUMN_BYTES * len(names))
        stream.seek(0)
        for _ in range(self.skipped):
            stream.readline()
        if trusting:
            values, release = map_array(stream, BYTE, (self.file.size,))
            blocks = stream.tell(), max(BLOCK_BYTES, size // 4), BLOCK_BYTES
            for stop, batches in parse_unquoted(values, blocks, names, parsing, converting):
                yield from batches
                stream.seek(stop)
                release()
        if stream.tell() < self.file.size:  # with threads, ragged rows have no numbers
            options = arrow_csv.ReadOptions(use_threads=trusting, block_size=size, column_names=names)
            yield from arrow_csv.open_csv(stream, options, parsing, converting)

    def _check_empty(self, column: pa.StringArray, name: str, staging: Staging | None) -> None:
        """Each value in a column without a name is a fault. Without `staging` raises pa.ArrowInvalid for one."""
        filled = pc.not_equal(pc.utf8_trim_whitespace(column), "").to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(filled).tolist():
            if staging is None:
                raise pa.ArrowInvalid
            problem = f": {shown(column[row].as_py())} stands in a column without a name; name it, or empty the cell"
            staging.fault("unnamed_column", problem, staging.rows + row, str(self.empty[name] + 1))

    def _ends_in_quote(self) -> bool:
        """Whether the file's last quotes close a cell: an even number of them stands for half as many in its text."""
        self.file.stream.seek(max(0, self.file.size - SAMPLE_BYTES))
        tail = self.file.stream.read().rstrip()
        return (len(tail) - len(tail.rstrip(b'"'))) % 2 == 1

    def _refuse_quote(self, row: int, context: Context) -> None:
        context.faults.add(
            "open_quote",
            f"{self.file.name}, row {row:,}: a quote that opens in it never closes, so that all lines behind it "
            'belong to one cell; close it, or double it (" becomes "") where it stands for itself',
            file=self.file.id,
            row=row,
        )


def open_table(
    file: Input,
    context: Context,
    delimiters: str = DELIMITERS,
    *,
    decimal: str | None = None,
    header: bool | None = None,
) -> Table:
    """Looks at the first rows: delimiter, header, which columns hold numbers; what is given is not looked for."""
    file.stream.seek(0)
    raw = file.stream.read(SAMPLE_BYTES)
    if len(raw) == SAMPLE_BYTES and b"\n" not in raw:
        raw += file.stream.read(BLOCK_BYTES)
        if b"\n" not in raw and len(raw) > BLOCK_BYTES:
            _refuse_row(file, 1, context)
            return Table(file, [])
    if len(raw) >= SAMPLE_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding.refuse(file, raw, context.faults)
        return Table(file, [])
    dialect = find_dialect(text, delimiters, decimal, header)
    rows = dialect.rows
    broken = next((name for name in rows[0] if "\n" in name), None) if dialect.header and rows else None
    if broken is not None:
        context.faults.add(
            "open_quote",
            f"{file.name}: the name of a column goes on over the end of the first line, {shown(broken)}; "
            "close its quote on that line",
            file=file.id,
        )
        return Table(file, [])
    names = rows[0] if dialect.header and rows else [f"f{number}" for number in range(len(rows[0]) if rows else 0)]
    names = [name.strip() for name in names]
    body = [row for row in rows[dialect.header :] if len(row) == len(names)]
    nameless = [place for place, name in enumerate(names) if not name]
    empty = [place for place in nameless if not any(row[place].strip() for row in body)]
    if not all_differ(file, names, context.faults, empty):
        return Table(file, [])
    heads, written = [], {}
    for position, name in enumerate(names):
        if position in empty:
            continue
        head, style = cells_head(name, [row[position] for row in body], dialect)
        heads.append(head)
        if style is not None:
            written[name] = style
    if dialect.titles:
        titles = f"{some(dialect.titles)} before the header {'are' if dialect.titles[1:] else 'is'} passed over"
        context.inferred["header"].append(f"{file.name}: {titles}; header false reads every line")
    if empty:
        what = f"columns {listed(empty)} of {len(names)} hold neither name nor value"
        context.inferred["empty columns"].append(f"{file.name}: {what} and are passed over")
    stand_ins = {f"\0{place}": place for place in empty}
    every = [f"\0{place}" if place in empty else name for place, name in enumerate(names)]
    return Table(file, heads, dialect.delimiter, dialect.skipped, written, every, stand_ins, dialect.repeated)


def _is_open(text: str, delimiter: str) -> bool:
    """Whether a quote of this row has not closed at its end: what comes behind is then no row of its own."""
    return "\n" in text and len(list(csv.reader(io.StringIO(f"{text}\nnext", newline=""), delimiter=delimiter))) == 1


def _refuse_row(file: Input, row: int, context: Context) -> None:
    message = (
        f"{file.name}, row {row:,} or one close behind it is longer than {BLOCK_BYTES:,} bytes; "
        "does every row end in a line feed, and every quote close?"
    )
    context.faults.add("line_too_long", message, file=file.id, row=row)
