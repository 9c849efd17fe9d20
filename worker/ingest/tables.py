"""Reads CSV and its kin (tab, semicolon), a block at a time, through pyarrow.

Numbers go to a temporary file as one float64 matrix; names become positions in a list. Every cell is read as text
first, so that a cell that is no number can be named instead of ending the reading.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from worker.ingest import encoding
from worker.ingest.faults import shown
from worker.ingest.labels import Coder
from worker.ingest.source import Context, Head, Input, Loaded, Numbers, map_array

SAMPLE_BYTES = 1 << 20
SAMPLE_ROWS = 1000
BLOCK_BYTES = 4 << 20
DELIMITERS = ",\t;"
FLOAT = np.dtype(np.float64)
TEXT = np.dtype(np.str_)


@dataclass(frozen=True)
class Table:
    """A file of delimited text. Without a header its columns are f0, f1 …"""

    file: Input
    heads: Sequence[Head]
    delimiter: str
    header: bool

    def load(self, numbers: Sequence[str], texts: Sequence[str], context: Context) -> Loaded:
        names = [head.name for head in self.heads]
        ragged: list[int] = []

        def note(row: Any) -> str:
            ragged.append(row.number - self.header)
            context.faults.add(
                "ragged_row",
                f"{self.file.name}, row {ragged[-1]:,} has {row.actual_columns} cells instead of "
                f"{row.expected_columns}: {shown(row.text)}",
                file=self.file.id,
                row=ragged[-1],
            )
            return "skip"

        self.file.stream.seek(0)
        staged, coders, rows = context.temporary(), {name: Coder() for name in texts}, 0
        loaded = Loaded(0, skipped=ragged)
        try:
            reader = arrow_csv.open_csv(
                self.file.stream,
                arrow_csv.ReadOptions(
                    use_threads=False,  # only then do ragged rows have numbers; it costs nothing here
                    block_size=BLOCK_BYTES,
                    column_names=names,
                    skip_rows=int(self.header),
                ),
                arrow_csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    invalid_row_handler=note,
                    ignore_empty_lines=len(names) > 1,  # in a lone column an empty line is an empty cell
                ),
                arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[*numbers, *texts],
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            )
            for batch in reader:
                matrix = np.empty((batch.num_rows, len(numbers)), FLOAT)
                for position, name in enumerate(numbers):
                    matrix[:, position] = self._numbers(batch.column(name), name, loaded, rows, context)
                staged.write(matrix.data)
                for name, coder in coders.items():
                    column = batch.column(name).dictionary_encode()
                    coder.add(column.dictionary.to_pylist(), column.indices.fill_null(-1).to_numpy())
                rows += batch.num_rows
                context.tick(0)
        except pa.ArrowInvalid as error:
            code = "not_utf8" if "UTF8" in str(error) else "damaged"
            context.faults.add(code, f"{self.file.name} cannot be read as CSV in UTF-8: {error}", file=self.file.id)
        staged.flush()
        texts_read = {name: coder.coded() for name, coder in coders.items()}
        if not numbers or context.faults.total:
            return Loaded(rows, [], texts_read, ragged)
        values, release = map_array(staged, FLOAT, (rows, len(numbers)))
        return Loaded(rows, [Numbers(list(numbers), values, release)], texts_read, ragged)

    def _numbers(
        self, column: pa.StringArray, name: str, loaded: Loaded, done: int, context: Context
    ) -> NDArray[np.float64]:
        """A block of cells as numbers; an empty one is NaN."""
        try:
            return _cast(column)
        except pa.ArrowInvalid:
            column = pc.utf8_trim_whitespace(column)
        values = np.full(len(column), np.nan)
        for row, cell in enumerate(column.to_pylist()):
            try:
                values[row] = _cast(pa.array([cell or None], pa.string()))[0]
            except pa.ArrowInvalid:
                number = loaded.file_row(done + row)
                context.faults.add(
                    "not_a_number",
                    f"{self.file.name}, row {number:,}, column {name!r}: {shown(cell)} is not a number",
                    file=self.file.id,
                    row=number,
                    column=name,
                )
        return values


def open_table(file: Input, context: Context, delimiters: str = DELIMITERS) -> Table:
    """Looks at the first rows: delimiter, header, which columns hold numbers."""
    file.stream.seek(0)
    raw = file.stream.read(SAMPLE_BYTES)
    if len(raw) == SAMPLE_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1] or raw
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding.refuse(file, raw, context.faults)
        return Table(file, [], ",", False)
    first_line = text.split("\n", 1)[0]
    delimiter = max(delimiters, key=first_line.count)
    rows = []
    for row in csv.reader(io.StringIO(text), delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS:
            break
    header = not rows or not all(map(_is_number, rows[0])) or _counts_up(rows[0])
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


def _head(name: str, cells: list[str]) -> Head:
    """A column holds numbers when most of its cells do: the others are then faults, with a row to look at."""
    filled = [cell for cell in cells if cell.strip()]
    numbers = sum(map(_is_number, filled))
    kind = FLOAT if 2 * numbers >= len(filled) else TEXT
    return Head(name, "table", kind, distinct=len(set(filled)), sampled=len(filled))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _counts_up(cells: list[str]) -> bool:
    """A header written from an array's column numbers: 0, 1, 2 …"""
    return len(cells) > 1 and cells in ([str(n) for n in range(len(cells))], [str(n + 1) for n in range(len(cells))])


def _cast(column: pa.StringArray) -> NDArray[np.float64]:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
