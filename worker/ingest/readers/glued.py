"""Lines within a table that repeat its header, as files that were put together have: they are passed over, and counted.

Knows no file.
"""

from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worker.ingest.faults import counted
from worker.ingest.readers.staging import Staging
from worker.ingest.source import Context


def cut_headers(batch: pa.RecordBatch, staging: Staging) -> pa.RecordBatch:
    """The rows of a batch of texts that do not hold the names of its columns; `staging` knows the others as skipped."""
    named = [(batch.column(name), name) for name in batch.schema.names if not name.startswith("\0")]
    alike = reduce(pc.and_, (pc.equal(pc.utf8_trim_whitespace(column), name) for column, name in named))
    again = alike.fill_null(False).to_numpy(zero_copy_only=False)
    if not again.any():
        return batch
    rows = [staging.file_row(staging.rows + place) for place in np.flatnonzero(again).tolist()]
    staging.skipped = sorted([*staging.skipped, *rows])
    staging.headers += len(rows)
    return batch.filter(pa.array(~again))


def tell_headers(staging: Staging, name: str, context: Context) -> None:
    """Says how many there were in the file of that name."""
    if staging.headers:
        note = f"{name}: {counted(staging.headers, 'line')} that repeat the header are passed over"
        context.inferred["header"] = list(dict.fromkeys([*context.inferred["header"], note]))
