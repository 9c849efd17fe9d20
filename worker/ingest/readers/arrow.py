"""Reads Arrow IPC, the file (also called Feather) and the stream, mapped where it lies."""

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from worker.ingest.readers.arrow_messages import batches
from worker.ingest.readers.header import all_differ
from worker.ingest.readers.heads import arrow_head
from worker.ingest.readers.staging import Staging
from worker.ingest.readers.unpack import is_bomb, refuse
from worker.ingest.source import Context, Head, Input, Loaded, Wanted

FILE_MAGIC = b"ARROW1"
FILE_START = 8
STREAM_MAGIC = b"\xff\xff\xff\xff"
STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"
SAMPLE_ROWS = 1000
FIRST_ROWS = 1 << 16
MOST_BATCH = 1 << 30
"""Bytes that a packed record batch may unpack to: it is held in memory."""


@dataclass(frozen=True)
class Arrow:
    """An Arrow file or stream; one that cannot be opened has no columns."""

    file: Input
    heads: Sequence[Head]
    rows: int = 0
    """As its batches announce."""
    packed: bool = False
    """Whether columns are packed, and are better left alone where nobody needs them."""

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        staging = Staging(self.file, self.heads, wanted, context)
        if context.faults.total or not staging.allows(self.rows):
            return staging.loaded()
        try:
            mapped = _map(self.file)
            names, needed = [head.name for head in self.heads], wanted.columns
            for batch in _read(mapped, [names.index(name) for name in needed] if self.packed else None):
                if wanted.first:
                    batch = batch.slice(0, FIRST_ROWS)
                batch.select(needed).validate(full=True)
                staging.add({name: batch.column(name) for name in needed}, batch.num_rows)
                mapped.madvise(mmap.MADV_DONTNEED)
                if wanted.first and staging.rows:
                    break
        except (pa.ArrowException, OSError) as error:
            staging.broke_off(error)
        return staging.loaded()


def open_arrow(file: Input, context: Context) -> Arrow:
    """Looks at every batch's size and at the first rows."""
    mapped = _map(file)
    if not mapped[-len(STREAM_END) :].endswith(FILE_MAGIC if _is_file(mapped) else (STREAM_END, bytes(4))):
        message = f"{file.name} is cut short: the mark at the end of Arrow IPC is not there"
        context.faults.add("truncated", message, file=file.id)
        return Arrow(file, [])
    try:
        return _look(file, mapped, context)
    except (pa.ArrowException, OSError, struct.error, IndexError) as error:
        context.faults.add("damaged", f"{file.name} is no readable Arrow IPC: {error}", file=file.id)
        return Arrow(file, [])


def _look(file: Input, mapped: mmap.mmap, context: Context) -> Arrow:
    rows = size = 0
    packed = False
    for batch in batches(pa.py_buffer(mapped)[FILE_START if _is_file(mapped) else 0 :]):
        rows, size, packed = rows + batch.rows, size + batch.size, packed or batch.packed
        if is_bomb(size, file.size, context.limit) or (batch.packed and batch.size > MOST_BATCH):
            refuse(file, f"{file.name}, with a record batch of {batch.size:,} bytes,", size, context)
            return Arrow(file, [])
    names = _schema(mapped).names
    if not all_differ(file, names, context.faults):
        return Arrow(file, [])
    first = next(_read(mapped), None)
    if first is None:
        return Arrow(file, [arrow_head(field.name, pa.nulls(0, field.type)) for field in _schema(mapped)])
    sample = first.slice(0, SAMPLE_ROWS)
    sample.validate(full=True)
    return Arrow(file, [arrow_head(name, sample.column(name)) for name in names], rows, packed)


def _map(file: Input) -> mmap.mmap:
    """Closed by nobody: what is read from it are views, and the last of them lets it go."""
    return mmap.mmap(file.stream.fileno(), 0, access=mmap.ACCESS_READ)


def _is_file(mapped: mmap.mmap) -> bool:
    return mapped[: len(FILE_MAGIC)] == FILE_MAGIC


def _schema(mapped: mmap.mmap) -> pa.Schema:
    source = pa.py_buffer(mapped)
    return pa.ipc.open_file(source).schema if _is_file(mapped) else pa.ipc.open_stream(source).schema


def _read(mapped: mmap.mmap, columns: Sequence[int] | None = None) -> Iterator[pa.RecordBatch]:
    """Record batches; with `columns` only those are unpacked, without, nothing is copied that is not packed."""
    source = pa.py_buffer(mapped)
    options = pa.ipc.IpcReadOptions(included_fields=columns, use_threads=False)
    if not _is_file(mapped):
        yield from pa.ipc.open_stream(source, options=options)
        return
    reader = pa.ipc.open_file(source, options=options)
    for number in range(reader.num_record_batches):
        yield reader.get_batch(number)
