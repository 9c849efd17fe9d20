"""Writes a split as an Arrow IPC file, rows as they come, in record batches of a few megabytes. Holds a few of them.

Writing and hashing happen on two threads that all splits share, so that whoever makes the rows waits for neither.
"""

import hashlib
import io
import os
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from app.dataset import BATCH_BYTES
from worker.ingest.pipeline import Aside

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECE = 1 << 20
"""Bytes that are written at once: for more, Linux looks for larger pages, which a virtual machine may have to fetch."""


class SplitWriter:
    """Takes record batches of any length; `close` writes what is left, and then `sha256` is that of the file."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, writing: Aside, hashing: Aside) -> None:
        self.file = file
        self.rows = 0
        self.sha256 = ""
        self._schema, self._writing = schema, writing
        self._hashed = _Hashed(file, hashing)
        self._writer = pa.ipc.new_file(self._hashed, schema)
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = self._begun = 0

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
        self._writing.wait()
        self._writer.close()
        self.file.flush()
        self.sha256 = self._hashed.digest()

    def _flush(self) -> None:
        self._writing.do(self._write, self._waiting)
        self._waiting, self._bytes = [], 0

    def _write(self, batches: list[pa.RecordBatch]) -> None:
        whole = pa.Table.from_batches(batches, self._schema).combine_chunks()
        for batch in whole.to_batches():
            self._writer.write_batch(batch)
        if hasattr(os, "posix_fadvise"):  # what nobody needs goes to the disk at once, not when the store waits for it
            begun, self._begun = self._begun, self.file.tell()
            os.posix_fadvise(self.file.fileno(), begun, self._begun - begun, os.POSIX_FADV_DONTNEED)


class _Hashed(io.RawIOBase):
    """Passes on what is written, and hashes it aside."""

    def __init__(self, file: IO[bytes], hashing: Aside) -> None:
        self._file, self._hashing, self._hash = file, hashing, hashlib.sha256()

    def write(self, data: "ReadableBuffer", /) -> int:
        self._hashing.do(self._hash.update, data)  # Arrow's buffers never change
        whole = memoryview(data)
        for start in range(0, len(whole), PIECE):
            self._file.write(whole[start : start + PIECE])
        return len(whole)

    def writable(self) -> bool:
        return True

    def digest(self) -> str:
        self._hashing.wait()
        return self._hash.hexdigest()
