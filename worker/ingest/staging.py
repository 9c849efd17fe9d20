"""Takes record batches and gives what a reader gives: one matrix of numbers in a temporary file, and coded names.

Knows Arrow's types and no file format. Of a batch, its rows pass in slices; nothing else is held but four bytes for
every name.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from worker.ingest.labels import Coder
from worker.ingest.source import Context, Head, Input, Loaded, Numbers, map_array
from worker.ingest.unpack import is_bomb, refuse

FLOAT = np.dtype(np.float64)
SINGLE = np.dtype(np.float32)
TEXT = np.dtype(np.str_)
OTHER = np.dtype(np.object_)
"""Of a column that can be neither number nor name."""
SLICE_BYTES = 4 << 20
NAME_BYTES = 4


class Staging:
    """The columns that a reader was asked for, as far as they have come."""

    def __init__(
        self, file: Input, heads: Sequence[Head], numbers: Sequence[str], texts: Sequence[str], context: Context
    ) -> None:
        known = {head.name: head for head in heads}
        self._file, self._context = file, context
        self._heads = [known[name] for name in numbers]
        self._widths = [prod(head.shape) for head in self._heads]
        exact = all(head.dtype.itemsize <= 2 or head.dtype == SINGLE for head in self._heads)
        self.dtype = SINGLE if exact else FLOAT  # the narrowest that holds every value, and NaN
        self._matrix = context.temporary()
        self._coders = {name: Coder() for name in texts}
        self.rows = 0
        self.skipped: list[int] = []
        """Rows of the file, from 1, that were no rows."""
        for head in self._heads:
            if not head.is_number:
                self._refuse(head, "not_a_number", "holds no numbers")
        for name in texts:
            if known[name].dtype == OTHER:
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
        """What a row takes here."""
        return sum(self._widths) * self.dtype.itemsize + NAME_BYTES * len(self._coders)

    def allows(self, rows: int) -> bool:
        """Whether so many rows may come out of this file; if not, the fault is added."""
        size = rows * self.row_bytes
        if not is_bomb(size, self._file.size, self._context.limit):
            return True
        refuse(self._file, f"{self._file.name}, with {rows:,} rows,", size, self._context)
        return False

    def add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        """The next rows."""
        step = max(1, SLICE_BYTES // max(1, self.row_bytes))
        for start in range(0, rows, step):
            count = min(step, rows - start)
            self._add({name: column.slice(start, count) for name, column in columns.items()}, count)
            self._context.tick(0)

    def file_row(self, row: int) -> int:
        """The row of the file, from 1, of the `row`-th row here, from 0."""
        return Loaded(0, skipped=self.skipped).file_row(row)

    def loaded(self) -> Loaded:
        self._matrix.flush()
        texts = {name: coder.coded() for name, coder in self._coders.items()}
        if not self._heads or self._context.faults.total:
            return Loaded(self.rows, [], texts, self.skipped)
        values, release = map_array(self._matrix, self.dtype, (self.rows, sum(self._widths)))
        return Loaded(self.rows, [Numbers(*part, release) for part in self._parts(values)], texts, self.skipped)

    def _parts(self, values: NDArray[Any]) -> list[tuple[list[str], NDArray[Any]]]:
        """Arrays by themselves, plain columns beside each other as one."""
        parts: list[tuple[list[str], NDArray[Any]]] = []
        plain: list[str] = []
        start = 0
        for head, width in zip(self._heads, self._widths, strict=True):
            stop = start + width
            if head.shape:
                parts.append(([head.name], values[:, start:stop].reshape(-1, *head.shape)))
                plain = []
            elif plain:
                plain.append(head.name)
                parts[-1] = (plain, values[:, stop - len(plain) : stop])
            else:
                plain = [head.name]
                parts.append((plain, values[:, start:stop]))
            start = stop
        return parts

    def _add(self, columns: Mapping[str, pa.Array], rows: int) -> None:
        matrix = np.empty((rows, sum(self._widths)), self.dtype)
        start = 0
        for head, width in zip(self._heads, self._widths, strict=True):
            values, wrong = flatten(columns[head.name], head.shape)
            matrix[:, start : start + width] = values
            for row in np.flatnonzero(wrong):
                self._ragged(head, columns[head.name][int(row)], self.rows + int(row))
            start += width
        self._matrix.write(matrix.data)
        for name, coder in self._coders.items():
            column = columns[name].dictionary_encode()
            names = [None if value is None else _name(value) for value in column.dictionary.to_pylist()]
            coder.add(names, column.indices.fill_null(-1).to_numpy(zero_copy_only=False))
        self.rows += rows

    def _ragged(self, head: Head, value: pa.Scalar, row: int) -> None:
        if self._context.faults.full:
            self._context.faults.count(1)
            return
        number, there = self.file_row(row), np.shape(np.asarray(value.as_py(), dtype=object))
        self._context.faults.add(
            "ragged_row",
            f"{self._file.name}, row {number:,}, column {head.name!r} holds {list(there)} values, "
            f"the first row {list(head.shape)}",
            file=self._file.id,
            row=number,
            column=head.name,
        )

    def _refuse(self, head: Head, code: str, problem: str) -> None:
        self._context.faults.add(
            code, f"{self._file.name}: column {head.name!r} {problem}", file=self._file.id, column=head.name
        )


def head_of(name: str, sample: pa.Array) -> Head:
    """What a column is, by its type and its first rows."""
    kind = sample.type
    shape: list[int] = []
    while _is_list(kind):
        sample = sample.drop_null()
        if not len(sample):
            return Head(name, "table", OTHER, distinct=2, sampled=2)
        shape.append(len(sample[0]))
        sample, kind = sample.flatten(), kind.value_type
    number = _number(kind)
    if shape:
        head = Head(name, "array", number, tuple(shape)) if number is not None and all(shape) else None
        return head or Head(name, "table", OTHER, distinct=2, sampled=2)
    if number is not None:
        return Head(name, "table", number)
    if not _is_text(kind):
        return Head(name, "table", OTHER, distinct=2, sampled=2)
    present = sample.drop_null()
    return Head(name, "table", TEXT, distinct=len(present.unique()), sampled=len(present))


def flatten(column: pa.Array, shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values [n, W], NaN where there are none, and which rows have another shape."""
    if not shape:
        values = pc.cast(column, pa.float32() if pa.types.is_float16(column.type) else pa.float64(), safe=False)
        return values.to_numpy(zero_copy_only=False).reshape(-1, 1), np.zeros(len(column), np.bool_)
    fits = pc.equal(pc.list_value_length(column), shape[0]).fill_null(False).to_numpy(zero_copy_only=False)
    wrong = column.is_valid().to_numpy(zero_copy_only=False) & ~fits
    inner, uneven = flatten(column.filter(pa.array(fits)).flatten(), shape[1:])
    values = np.full((len(column), prod(shape)), np.nan, inner.dtype)
    values[fits] = inner.reshape(-1, prod(shape))
    wrong[fits] |= uneven.reshape(-1, shape[0]).any(axis=1)
    return values, wrong


def _name(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        return _is_text(kind) or _number(kind) is not None
    views = pa.types.is_string_view(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or views or pa.types.is_temporal(kind))


def _number(kind: pa.DataType) -> np.dtype[Any] | None:
    """The type of numbers that a column holds; None when it holds something else."""
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return found
    return FLOAT if pa.types.is_decimal(kind) or pa.types.is_null(kind) else None
