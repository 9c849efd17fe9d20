"""Takes record batches and gives what a reader gives: numbers and texts in temporary files, and coded names.

Knows Arrow's types and no file format. Of a batch, its rows pass in slices; nothing else is held but four bytes for
every name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from worker.ingest.labels import Coder
from worker.ingest.mapping import map_array
from worker.ingest.readers.heads import FLOAT, OTHER, as_name
from worker.ingest.readers.unpack import is_bomb, refuse
from worker.ingest.source import Context, Head, Input, Loaded, Numbers, Wanted
from worker.ingest.stages import RaggedStage

SINGLE = np.dtype(np.float32)
"""What numbers are in a dataset."""
DOUBLE = pa.float64()
SLICE_BYTES, SLICE_ROWS = 4 << 20, 64
"""Of a slice, the larger of the two: a wide table has work to do for every column."""
NAME_BYTES = 4


class Staging:
    """The columns that a reader was asked for, as far as they have come."""

    def __init__(self, file: Input, heads: Sequence[Head], wanted: Wanted, context: Context) -> None:
        known = {head.name: head for head in heads}
        self._file, self._context, self._parts = file, context, wanted.numbers
        self._heads = [known[name] for part in wanted.numbers for name in part]
        self._widths = [prod(head.shape) for head in self._heads]
        self.dtype = FLOAT if wanted.exact else SINGLE
        self._matrix = context.temporary()
        self._room = np.empty((0, sum(self._widths)), self.dtype)
        """Where the rows of a slice are laid beside each other."""
        self._coders = {name: Coder() for name in wanted.names}
        self._stages = {name: RaggedStage(context) for name in wanted.ragged}
        self.rows = 0
        self.skipped: list[int] = []
        """Rows of the file, from 1, that were no rows."""
        self.headers = 0
        """Those of them that repeat the header."""
        self.bad: list[int] = []
        """Rows here, from 0, that have a fault for which they are left out."""
        for head in self._heads:
            if not head.is_number:
                like = f" but names like {head.example!r}" if head.example else ""
                self._refuse(head, "not_a_number", f"holds no numbers{like}; names are for columns.label")
        for name in [*wanted.names, *wanted.ragged]:
            taken = name in wanted.ragged and (known[name].encoded or known[name].ragged)
            if known[name].dtype == OTHER and not taken:
                self._refuse(known[name], "unsupported_type", "holds neither numbers nor text")

    def broke_off(self, error: Exception) -> None:
        """Reports that the file cannot be read beyond the rows that have come."""
        self._context.faults.add(
            "damaged",
            f"{self._file.name} cannot be read beyond row {self.rows:,}: {error}",
            file=self._file.id,
            row=self.rows + 1,
        )

    @property
    def row_bytes(self) -> int:
        """What a row takes here, at least."""
        return sum(self._widths) * self.dtype.itemsize + NAME_BYTES * (len(self._coders) + 2 * len(self._stages))

    def allows(self, rows: int) -> bool:
        """Whether so many rows may come out of this file; if not, the fault is added."""
        size = rows * self.row_bytes
        if not is_bomb(size, self._file.size, self._context.limit):
            return True
        refuse(self._file, f"{self._file.name}, with {rows:,} rows,", size, self._context)
        return False

    def add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        """The next rows."""
        step = max(SLICE_ROWS, SLICE_BYTES // max(1, self.row_bytes))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            self._add({name: column.slice(start, count) for name, column in columns.items()}, count)
            self._context.tick(0)

    def file_row(self, row: int) -> int:
        """The row of the file, from 1, of the `row`-th row here, from 0."""
        return Loaded(0, skipped=self.skipped).file_row(row)

    def fault(self, code: str, problem: str, row: int, column: str) -> None:
        """A fault in a cell of the `row`-th row here, from 0."""
        number, faults = self.file_row(row), self._context.faults
        if faults.drops:
            self.bad.append(row)
        message = f"{self._file.name}, row {number:,}, column {column!r}{problem}"
        faults.row(code, message, file=self._file.id, row=number, column=column)

    def loaded(self) -> Loaded:
        self._matrix.flush()
        names = {name: coder.coded() for name, coder in self._coders.items()}
        ragged = {name: stage.mapped() for name, stage in self._stages.items()}
        loaded = Loaded(self.rows, [], names, ragged, self.skipped, self.bad)
        if self._heads and not self._context.faults.total:
            values, release = map_array(self._matrix, self.dtype, (self.rows, sum(self._widths)))
            known, start = {head.name: head for head in self._heads}, 0
            for part in self._parts:
                loaded.numbers.append([])
                for together in _side_by_side([known[name] for name in part]):
                    stop = start + sum(prod(head.shape) for head in together)
                    rows = values[:, start:stop]
                    shaped = rows.reshape(-1, *together[0].shape) if together[0].shape else rows
                    loaded.numbers[-1].append(Numbers([head.name for head in together], shaped, release))
                    start = stop
        return loaded

    def _add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        if self._room.shape[0] < rows:
            self._room = np.empty((rows, sum(self._widths)), self.dtype)
        start = 0
        for together in _side_by_side(self._heads):
            head = together[0]
            if head.shape:
                values, wrong = flatten(columns[head.name], head.shape)
                for row in np.flatnonzero(wrong):
                    self._ragged(head, columns[head.name][int(row)], self.rows + int(row))
            else:
                values = _beside([columns[head.name] for head in together])
            self._lay(values, rows, start)
            start += values.shape[1]
        self._matrix.write(self._room[:rows].data)
        for name, coder in self._coders.items():
            column = columns[name].dictionary_encode()
            names = [None if value is None else as_name(value) for value in column.dictionary.to_pylist()]
            coder.add(names, column.indices.fill_null(-1).to_numpy(zero_copy_only=False))
        for name, stage in self._stages.items():
            stage.add_texts(columns[name])
        self.rows += rows

    def _lay(self, values: NDArray[Any], rows: int, start: int) -> None:
        """Puts columns [rows, W] beside those before `start`."""
        place = slice(rows), slice(start, start + values.shape[1])
        try:
            with np.errstate(over="raise"):
                self._room[place] = values
        except FloatingPointError:  # a number that the dataset cannot hold: whoever says so has to see it
            self._widen()
            self._room[place] = values

    def _widen(self) -> None:
        """Holds doubles from now on, and all that there is already."""
        narrow, self._matrix = self._matrix, self._context.temporary()
        narrow.seek(0)
        while chunk := narrow.read(SLICE_BYTES):
            self._matrix.write(np.frombuffer(chunk, SINGLE).astype(FLOAT).data)
        self.dtype, self._room = FLOAT, self._room.astype(FLOAT)

    def _ragged(self, head: Head, value: pa.Scalar, row: int) -> None:
        if self._context.faults.full:
            self._context.faults.count(1)
            return
        there = np.shape(np.asarray(value.as_py(), dtype=object))
        self.fault("ragged_row", f" holds {list(there)} values, the first row {list(head.shape)}", row, head.name)

    def _refuse(self, head: Head, code: str, problem: str) -> None:
        self._context.faults.add(
            code, f"{self._file.name}: column {head.name!r} {problem}", file=self._file.id, column=head.name
        )


def _side_by_side(heads: Sequence[Head]) -> Iterator[list[Head]]:
    """Arrays by themselves, plain columns beside each other as one."""
    for plain, run in groupby(heads, key=lambda head: not head.shape):
        if plain:
            yield list(run)
        else:
            yield from ([head] for head in run)


def _beside(columns: Sequence[pa.Array]) -> NDArray[Any]:
    """Plain columns as [n, W], NaN where there is nothing: one call for all of them, as there may be very many."""
    batch = pa.RecordBatch.from_arrays([_plain(column) for column in columns], [""] * len(columns))
    found: NDArray[Any] = batch.to_tensor(null_to_nan=True, row_major=False).to_numpy()
    return found


def _plain(column: pa.Array) -> pa.Array:
    if column.type == DOUBLE:
        return column
    return pc.cast(column, pa.float32() if pa.types.is_float16(column.type) else DOUBLE, safe=False)


def flatten(column: pa.Array, shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values [n, W], NaN where there are none, and which rows have another shape."""
    if not shape:
        return _plain(column).to_numpy(zero_copy_only=False).reshape(-1, 1), np.zeros(len(column), np.bool_)
    fits = pc.equal(pc.list_value_length(column), shape[0]).fill_null(False).to_numpy(zero_copy_only=False)
    wrong = column.is_valid().to_numpy(zero_copy_only=False) & ~fits
    inner, uneven = flatten(column.filter(pa.array(fits)).flatten(), shape[1:])
    values = np.full((len(column), prod(shape)), np.nan, inner.dtype)
    values[fits] = inner.reshape(-1, prod(shape))
    wrong[fits] |= uneven.reshape(-1, shape[0]).any(axis=1)
    return values, wrong
