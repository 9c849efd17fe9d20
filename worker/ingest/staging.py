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
from worker.ingest.signatures import encoded_medium, medium
from worker.ingest.source import Context, Head, Input, Loaded, Numbers, Wanted, map_array
from worker.ingest.stages import BETWEEN, RaggedStage, is_labels, whole_files
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

    def __init__(self, file: Input, heads: Sequence[Head], wanted: Wanted, context: Context) -> None:
        known = {head.name: head for head in heads}
        self._file, self._context, self._parts = file, context, wanted.numbers
        self._heads = [known[name] for part in wanted.numbers for name in part]
        self._widths = [prod(head.shape) for head in self._heads]
        exact = all(head.dtype.itemsize <= 2 or head.dtype == SINGLE for head in self._heads)
        self.dtype = SINGLE if exact else FLOAT  # the narrowest that holds every value, and NaN
        self._matrix = context.temporary()
        self._coders = {name: Coder() for name in wanted.names}
        self._stages = {name: RaggedStage(context) for name in wanted.ragged}
        self.rows = 0
        self.skipped: list[int] = []
        """Rows of the file, from 1, that were no rows."""
        self.bad: list[int] = []
        """Rows here, from 0, that have a fault for which they are left out."""
        for head in self._heads:
            if not head.is_number:
                self._refuse(head, "not_a_number", "holds no numbers")
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
        step = max(1, SLICE_BYTES // max(1, self.row_bytes))
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
        for name, stage in self._stages.items():
            stage.add_texts(columns[name])
        self.rows += rows

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


def head_of(name: str, sample: pa.Array) -> Head:
    """What a column is, by its type and its first rows."""
    kind = sample.type
    if is_labels(kind):
        return labels_head(name)
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
        present = sample.drop_null()
        return number_head(name, number, present.to_pylist())
    files = whole_files(sample)
    for file in [] if files is None else files.drop_null()[:1].to_pylist():
        if held := medium(file):
            return Head(name, "table", OTHER, distinct=2, sampled=2, medium=held, encoded="bytes")
    if not _is_text(kind):
        return Head(name, "table", OTHER, distinct=2, sampled=2)
    present = sample.drop_null()
    texts = [_name(value) for value in present.to_pylist()]
    return text_head(name, texts)


def counts_up(values: Sequence[Any]) -> bool:
    """Whether whole numbers go up by one from row to row."""
    try:
        whole = [int(value) for value in values]
    except (ValueError, TypeError, OverflowError):
        return False
    return len(whole) > 1 and whole == list(range(whole[0], whole[0] + len(whole)))


def number_head(name: str, dtype: np.dtype[Any], values: Sequence[Any], note: str = "") -> Head:
    """A column of numbers, by the first of them; they may be texts."""
    distinct, counts = len(set(values)), counts_up(values)
    fractions = any(map(_has_fraction, values))
    return Head(
        name, "table", dtype, distinct=distinct, sampled=len(values), fractions=fractions, counts=counts, note=note
    )


def _has_fraction(value: Any) -> bool:
    try:
        return bool(float(value) % 1 > 0)
    except (ValueError, TypeError, OverflowError):
        return False


def labels_head(name: str) -> Head:
    """A column of lists of texts."""
    return Head(name, "table", OTHER, ragged="tags", distinct=2, sampled=2, about={"between": BETWEEN})


def text_head(name: str, texts: Sequence[str]) -> Head:
    """A column of texts, by the first of them."""
    words = sum(len(text.split()) for text in texts) / max(1, len(texts))
    held = encoded_medium(texts[0]) if texts else ""
    more: dict[str, Any] = {"medium": held, "encoded": "base64"} if held else {}
    return Head(name, "table", TEXT, distinct=len(set(texts)), sampled=len(texts), words=words, **more)


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
