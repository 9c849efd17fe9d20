"""Parses delimited text where it lies in a mapped file, blocks of rows beside each other, up to the first quote: only
quotes hide line feeds, so that without them a block may end at any of these. Knows no column.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as arrow_csv

from worker.ingest.pipeline import ahead
from worker.ingest.readers.lines import line_blocks
from worker.ingest.texts import LINE_FEED

QUOTE = 34
PARSERS = 3
"""Threads that parse; with two, a core was idle while one of them waited for the interpreter's lock."""


def parse_unquoted(
    values: NDArray[np.uint8],
    blocks: tuple[int, int, int],
    names: list[str],
    parsing: arrow_csv.ParseOptions,
    converting: arrow_csv.ConvertOptions,
) -> Iterator[tuple[int, list[pa.RecordBatch]]]:
    """Of every block, where it ends and its batches; the last one ends before a quote or a row that is too long.

    `blocks` says where the first begins, of how many bytes they are, and how many more the rest of a row may have.
    Raises pa.ArrowInvalid where a cell or a row is not as expected.
    """
    # to look for all words for nothing takes a tenth of the time: not before a cell is no number
    narrow = arrow_csv.ConvertOptions(
        column_types=converting.column_types, include_columns=converting.include_columns, null_values=[""]
    )
    chosen = narrow

    def parse(block: tuple[int, int]) -> list[pa.RecordBatch] | None:
        nonlocal chosen
        held = values[slice(*block)]
        ends_here = held[-1] == LINE_FEED or block[1] == len(values)
        if not ends_here or (held == QUOTE).any():
            return None
        reading = arrow_csv.ReadOptions(use_threads=False, block_size=len(held) + 1, column_names=names)
        tried = chosen
        try:
            table = arrow_csv.read_csv(pa.BufferReader(held), reading, parsing, tried)
        except pa.ArrowInvalid:
            if tried is converting:
                raise
            chosen = converting
            table = arrow_csv.read_csv(pa.BufferReader(held), reading, parsing, converting)
        return list(table.to_batches())

    for (_, stop), batches in ahead(line_blocks(values, *blocks), parse, PARSERS):
        if batches is None:
            return
        yield stop, batches
