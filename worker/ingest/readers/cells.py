"""Makes numbers of a block of text cells, and names each one that is none. Knows no file."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from worker.ingest.faults import shown
from worker.ingest.readers.dialect import ABSENT, NOTHING, Written
from worker.ingest.readers.staging import Staging

PLAIN = r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$"
"""A number as Arrow reads it, but for infinities and NaN."""
TO_DO = 'correct it, leave the cell empty as a gap, or ask for "on_fault": "drop" to leave such rows out'


def plainly(column: pa.StringArray, written: Written) -> pa.StringArray:
    """Numbers in that manner as Arrow reads them; what is none stays as it is."""
    fits = pc.match_substring_regex(column, written.pattern)
    bare = pc.replace_substring_regex(column, written.clutter, "")
    return pc.if_else(fits, pc.replace_substring(bare, written.decimal, "."), column)


def to_numbers(column: pa.StringArray, name: str, staging: Staging | None) -> pa.Array:
    """A block of cells as numbers; an empty one is null. Without `staging` raises pa.ArrowInvalid for what is none."""
    column = pc.if_else(pc.is_in(column, pa.array(NOTHING)), pa.scalar(None, pa.string()), column)
    try:
        return pc.cast(column, pa.float64())
    except pa.ArrowInvalid:
        if staging is None:
            raise
    column = pc.utf8_trim_whitespace(column)
    plain = pc.fill_null(pc.match_substring_regex(column, PLAIN), True)
    values = pc.cast(pc.if_else(plain, column, pa.scalar(None, pa.string())), pa.float64()).to_numpy(
        zero_copy_only=False
    )
    values = values.copy()
    for row in np.flatnonzero(~plain.to_numpy(zero_copy_only=False)).tolist():  # few: a block has very many cells
        cell = column[row].as_py()
        if cell.casefold() in ABSENT:
            continue
        try:
            values[row] = pc.cast(pa.array([cell]), pa.float64())[0].as_py()
        except pa.ArrowInvalid:
            staging.fault("not_a_number", f": {shown(cell)} is not a number; {TO_DO}", staging.rows + row, name)
    return pa.array(values, from_pandas=True)
