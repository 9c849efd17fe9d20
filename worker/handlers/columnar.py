"""Writes results as one Parquet file, table by table. Knows nothing of what they mean."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.disk import needing_room
from app.storage import Stored
from worker.progress import Reporter


def put_parquet(reporter: Reporter, key: str, tables: Iterable[pa.Table]) -> Stored:
    """One file of tables that have the same columns, a row group for each; holds one of them at a time.

    Raises Stopped when the job is asked to leave, InsufficientStorage where the disk is full.
    """
    scratch = reporter.scratch
    with tempfile.TemporaryDirectory(dir=scratch, prefix="parquet-") as folder, needing_room(scratch):
        path, writer = Path(folder) / "whole.parquet", None
        for table in tables:
            reporter.leave_if_asked()
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer is not None, "there is at least one table; this is a bug"
        writer.close()
        return reporter.storage.put(key, path)
