"""Reads Parquet, pages as they come: a row group may be larger than memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from worker.ingest.readers.header import all_differ
from worker.ingest.readers.heads import arrow_head
from worker.ingest.readers.staging import Staging
from worker.ingest.readers.unpack import is_bomb, refuse
from worker.ingest.source import Context, Head, Input, Loaded, Wanted

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
SAMPLE_ROWS = 1000
BUFFER_BYTES = 1 << 20
BATCH_BYTES = 4 << 20
BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Parquet:
    """A Parquet file; one that cannot be opened has no columns."""

    file: Input
    heads: Sequence[Head]

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        staging = Staging(self.file, self.heads, wanted, context)
        try:
            table = _open(self.file)
            if context.faults.total or not staging.allows(table.metadata.num_rows):
                return staging.loaded()
            names = wanted.columns
            rows = min(BATCH_ROWS, max(1, BATCH_BYTES // max(1, staging.row_bytes)))
            for batch in table.iter_batches(rows, columns=names, use_threads=False):
                batch.validate(full=True)
                staging.add({name: batch.column(name) for name in names}, batch.num_rows)
                if wanted.first and staging.rows:
                    break
        except (pa.ArrowException, OSError) as error:
            staging.broke_off(error)
        return staging.loaded()


def open_parquet(file: Input, context: Context) -> Parquet:
    """Looks at the footer and the first rows; what would unpack too large is refused by what the footer says."""
    file.stream.seek(-min(file.size, len(MAGIC)), 2)
    end = file.stream.read()
    if end not in (MAGIC, ENCRYPTED):
        message = f"{file.name} is cut short: a Parquet file ends with {MAGIC!r}, this one with {end!r}"
        context.faults.add("truncated", message, file=file.id)
        return Parquet(file, [])
    try:
        table = _open(file)
        groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if is_bomb(size, file.size, context.limit):
            refuse(file, file.name, size, context)
            return Parquet(file, [])
        names = table.schema_arrow.names
        if not all_differ(file, names, context.faults):
            return Parquet(file, [])
        first = next(table.iter_batches(SAMPLE_ROWS, use_threads=False), None)
        if first is not None:
            first.validate(full=True)
        columns = first.columns if first is not None else [pa.nulls(0, field.type) for field in table.schema_arrow]
        return Parquet(file, [arrow_head(name, column) for name, column in zip(names, columns, strict=True)])
    except (pa.ArrowException, OSError) as error:
        context.faults.add("damaged", f"{file.name} is no readable Parquet file: {error}", file=file.id)
        return Parquet(file, [])


def _open(file: Input) -> pq.ParquetFile:
    file.stream.seek(0)
    source = pa.PythonFile(file.stream, mode="r")
    return pq.ParquetFile(source, pre_buffer=False, buffer_size=BUFFER_BYTES)
