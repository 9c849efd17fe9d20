"""Reads CSV and its kin (tab, semicolon), a block at a time, through pyarrow.

A file is read as it should be first; where that fails, again and with care, so that what is wrong can be named.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from worker.ingest import encoding
from worker.ingest.faults import shown
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.staging import FLOAT, Staging, text_head

SAMPLE_BYTES = 1 << 20
SAMPLE_ROWS = 1000
BLOCK_BYTES = 4 << 20
"""Bytes of one row at most, give or take a block."""
csv.field_size_limit(BLOCK_BYTES)  # as much as the sample may hold; the module's own limit is far smaller
DELIMITERS = ",\t;"


@dataclass(frozen=True)
class Table:
    """A file of delimited text. Without a header its columns are f0, f1 …"""

    file: Input
    heads: Sequence[Head]
    delimiter: str
    header: bool

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        try:
            return self._read(wanted, context, trusting=True)
        except pa.ArrowInvalid:  # a cell or a row is not as expected: again, to say which, or to leave it out
            return self._read(wanted, context, trusting=False)

    def _read(self, wanted: Wanted, context: Context, *, trusting: bool) -> Loaded:
        """Trusting, numbers are read as such on several threads, and whatever is wrong ends it with pa.ArrowInvalid.

        Else every cell is read as text first, so that each one that is no number can be named.
        """
        names, faults = [head.name for head in self.heads], context.faults
        staging = Staging(self.file, self.heads, wanted, context)
        numbers = {name for part in wanted.numbers for name in part}

        stopped = False

        def note(row: Any) -> str:
            nonlocal stopped
            number = row.number - self.header
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

        self.file.stream.seek(0)
        try:
            reader = arrow_csv.open_csv(
                self.file.stream,
                arrow_csv.ReadOptions(
                    use_threads=trusting,  # with threads, ragged rows have no numbers
                    block_size=BLOCK_BYTES,
                    column_names=names,
                    skip_rows=int(self.header),
                ),
                arrow_csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=None if trusting else note,
                    ignore_empty_lines=len(names) > 1,  # in a lone column an empty line is an empty cell
                ),
                arrow_csv.ConvertOptions(
                    column_types={
                        name: pa.float64() if trusting and name in numbers else pa.string() for name in names
                    },
                    include_columns=list(dict.fromkeys([*wanted.columns, names[-1]])),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            end = None
            for batch in reader:
                columns = {
                    name: _numbers(batch.column(name), name, staging)
                    if name in numbers and not trusting
                    else batch.column(name)
                    for name in wanted.columns
                }
                staging.add(columns, batch.num_rows)
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
        return staging.loaded()

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


def _numbers(column: pa.StringArray, name: str, staging: Staging) -> pa.Array:
    """A block of cells as numbers; an empty one is null."""
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        column = pc.utf8_trim_whitespace(column)
    values: list[float | None] = []
    for row, cell in enumerate(column.to_pylist()):
        try:
            values.append(pc.cast(pa.array([cell or None], pa.string()), pa.float64())[0].as_py())
        except pa.ArrowInvalid:
            values.append(None)
            staging.fault("not_a_number", f": {shown(cell)} is not a number", staging.rows + row, name)
    return pa.array(values, pa.float64())


def open_table(file: Input, context: Context, delimiters: str = DELIMITERS) -> Table:
    """Looks at the first rows: delimiter, header, which columns hold numbers."""
    file.stream.seek(0)
    raw = file.stream.read(SAMPLE_BYTES)
    if len(raw) == SAMPLE_BYTES and b"\n" not in raw:
        raw += file.stream.read(BLOCK_BYTES)
        if b"\n" not in raw and len(raw) > BLOCK_BYTES:
            _refuse_row(file, 1, context)
            return Table(file, [], ",", False)
    if len(raw) >= SAMPLE_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding.refuse(file, raw, context.faults)
        return Table(file, [], ",", False)
    first_line = text.split("\n", 1)[0]
    delimiter = max(delimiters, key=first_line.count)
    rows = []
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS:
            break
    header = not rows or not all(map(is_number, rows[0])) or _counts_up(rows[0])
    broken = next((name for name in rows[0] if "\n" in name), None) if header and rows else None
    if broken is not None:
        context.faults.add(
            "open_quote",
            f"{file.name}: the name of a column goes on over the end of the first line, {shown(broken)}; "
            "close its quote on that line",
            file=file.id,
        )
        return Table(file, [], delimiter, header)
    names = rows[0] if header and rows else [f"f{number}" for number in range(len(rows[0]) if rows else 0)]
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    for name in twice:
        context.faults.add(
            "duplicate_column", f"{file.name} has more than one column {name!r}", file=file.id, column=name
        )
    body = [row for row in rows[header:] if len(row) == len(names)]
    heads = [] if twice else [_head(name, [row[position] for row in body]) for position, name in enumerate(names)]
    return Table(file, heads, delimiter, header)


def _is_open(text: str, delimiter: str) -> bool:
    """Whether a quote of this row has not closed at its end: what comes behind is then no row of its own."""
    return "\n" in text and len(list(csv.reader(io.StringIO(f"{text}\nnext", newline=""), delimiter=delimiter))) == 1


def _refuse_row(file: Input, row: int, context: Context) -> None:
    message = (
        f"{file.name}, row {row:,} or one close behind it is longer than {BLOCK_BYTES:,} bytes; "
        "does every row end in a line feed, and every quote close?"
    )
    context.faults.add("line_too_long", message, file=file.id, row=row)


def _head(name: str, cells: list[str]) -> Head:
    """A column holds numbers when most of its cells do: the others are then faults, with a row to look at."""
    filled = [cell for cell in cells if cell.strip()]
    numbers = sum(map(is_number, filled))
    if 2 * numbers < len(filled):
        return text_head(name, filled)
    return Head(name, "table", FLOAT, distinct=len(set(filled)), sampled=len(filled))


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _counts_up(cells: list[str]) -> bool:
    """A header written from an array's column numbers: 0, 1, 2 …"""
    return len(cells) > 1 and cells in ([str(n) for n in range(len(cells))], [str(n + 1) for n in range(len(cells))])
