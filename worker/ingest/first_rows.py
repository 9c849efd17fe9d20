"""Judges the first rows of a large table before all of it is read: a fault there is known in a second.

Knows no fault by name. What is no row at all, or no number, is found by the reader itself while it reads.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.dataset_options import DatasetOptions
from worker.ingest.faults import Faults, Refused
from worker.ingest.kinds import base as kinds
from worker.ingest.layout import join
from worker.ingest.planning.plan import Plan
from worker.ingest.readers import arrow, jsonl, parquet, tables
from worker.ingest.source import Context
from worker.ingest.stacks import Stack

LARGE = 256 << 20
"""Bytes of a file from which on reading takes so long that few faults at once are better than all of them later."""
STAGED = (tables.Table, jsonl.Lines, parquet.Parquet, arrow.Arrow)
"""Readers that copy a file before anything is judged; of arrays, which are not, the first block is judged at once."""


def judge_first_rows(stacks: Sequence[Stack], plan: Plan, options: DatasetOptions, context: Context) -> None:
    """Raises Refused where the first file is large and has faults in the rows that are read at once."""
    source = stacks[0].sources[0]
    if len(stacks) > 1 or source.file.size < LARGE or not isinstance(source, STAGED):
        return
    found = Faults(drops=context.faults.drops)
    table = join([Stack([source])], plan, replace(context, faults=found), first=True)
    if found.kept or not table.rows:
        return  # the reader finds them again, and more
    block = kinds.Block(table, 0, table.rows, 0, np.ones(table.rows, np.bool_))
    for role, part in plan.parts.items():
        kinds.make(role, part, [table], options, found).judge(block)
    if found.total:
        context.faults.total, context.faults.kept, context.faults.cut_short = found.total, found.kept, True
        raise Refused
