"""Writes a split as an Arrow IPC file of equal record batches, row after row as they come. Holds one batch."""

from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset import BATCH_BYTES


class SplitWriter:
    """Takes blocks of rows of any length; `close` writes the last, shorter batch."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, classes: list[str]) -> None:
        self.file = file
        self.rows = 0
        self._schema = schema
        self._labelled = "target" in schema.names
        self._classes = pa.array(classes, pa.string())
        self._writer = pa.ipc.new_file(file, schema)
        field = schema.field("input").type
        self._width = field.list_size
        dtype = np.dtype(field.value_type.to_pandas_dtype())
        self._capacity = max(1, BATCH_BYTES // (self._width * dtype.itemsize))
        self._input = np.empty((self._capacity, self._width), dtype)
        self._target = np.empty(self._capacity, np.int32)
        self._row = np.empty(self._capacity, np.int64)
        self._filled = 0

    def add(self, input: NDArray[np.generic], target: NDArray[np.int32], row: NDArray[np.int64]) -> None:
        """Rows: input [n, W], target a position among the classes or -1, row its position in the source."""
        done = 0
        while done < len(row):
            count = min(len(row) - done, self._capacity - self._filled)
            here, there = slice(self._filled, self._filled + count), slice(done, done + count)
            self._input[here], self._target[here], self._row[here] = input[there], target[there], row[there]
            self._filled += count
            done += count
            if self._filled == self._capacity:
                self._flush()

    def close(self) -> None:
        if self._filled:
            self._flush()
        self._writer.close()
        self.file.flush()

    def _flush(self) -> None:
        count, self._filled = self._filled, 0
        flat = pa.array(self._input[:count].reshape(-1))
        columns = [pa.FixedSizeListArray.from_arrays(flat, type=self._schema.field("input").type)]
        if self._labelled:
            codes = pa.array(self._target[:count], mask=self._target[:count] < 0)
            columns.append(pa.DictionaryArray.from_arrays(codes, self._classes))
        columns.append(pa.array(self._row[:count]))
        self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self.rows += count
