"""Writes a split as an Arrow IPC file, rows as they come, in record batches of a few megabytes. Holds one batch."""

from typing import IO

import pyarrow as pa

from app.dataset import BATCH_BYTES


class SplitWriter:
    """Takes record batches of any length; `close` writes what is left."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self.file = file
        self.rows = 0
        self._schema = schema
        self._writer = pa.ipc.new_file(file, schema)
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._bytes >= BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()
        self.file.flush()

    def _flush(self) -> None:
        whole = pa.Table.from_batches(self._waiting, self._schema).combine_chunks()
        for batch in whole.to_batches():
            self._writer.write_batch(batch)
        self._waiting, self._bytes = [], 0
