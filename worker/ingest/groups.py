"""The files of a dataset as tables: one for each split that is given by files, else one. Knows no value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from app.dataset import BATCH_BYTES
from app.dataset_options import SPLITS, DatasetOptions, FileSplit, SplitFiles
from worker.ingest.first_rows import judge_first_rows
from worker.ingest.formats import open_sources
from worker.ingest.kinds.base import Block
from worker.ingest.layout import Joined, join
from worker.ingest.planning.columns import plan_columns
from worker.ingest.planning.following import agree, follow
from worker.ingest.planning.plan import Plan
from worker.ingest.source import Context, Head, Input, Source
from worker.ingest.stacks import Stack, heads_of, stack_sources

BLOCK_BYTES = 2 * BATCH_BYTES
"""Of a block of numbers: most of its rows are a record batch of the training split, which needs no other then."""
RAGGED_ROWS = 1 << 16
"""Rows of a block where items differ in length."""
RAGGED_BYTES = 4 * BATCH_BYTES
"""Of a column of them in a block, unless a single row has more."""
Mask = NDArray[np.bool_]


@dataclass
class Group:
    """The files of one split, or all of them, as one table."""

    place: int | None
    plan: Plan
    heads: Sequence[Head]
    table: Joined


def open_groups(inputs: Sequence[Input], options: DatasetOptions, context: Context) -> list[Group]:
    """Those that have rows, the first split's first. Raises Refused when files or columns have faults."""
    faults = context.faults
    found = [source for file in inputs for source in open_sources(file, options, context)]
    faults.stop_here()
    named = _named_splits(found)
    if named is not None:
        options = options.model_copy(update={"split": named})
        context.inferred["split"].append(f"the names of the tables: {', '.join(source.file.name for source in found)}")
    sources: dict[str, list[Source]] = {}
    for source in found:
        sources.setdefault(source.file.name if named else source.file.id, []).append(source)
    groups: list[Group] = []
    for place, members in _by_split(sources, options):
        stacks = stack_sources(members, faults)
        faults.stop_here()
        heads = heads_of(stacks)
        plan = follow(groups[0].plan, heads, options, faults) if groups else plan_columns(heads, options, faults)
        faults.stop_here()
        if groups:
            agree(groups[0].plan, plan, _called(stacks), _called(groups[0].table.stacks), faults)
            faults.stop_here()
        judge_first_rows(stacks, plan, options, context)
        table = join(stacks, plan, context)
        faults.stop_here()
        groups.append(Group(place, plan, heads, table))
    rows = sum(group.table.rows for group in groups)
    if rows < 2:
        code, there = ("single_row", "a single row") if rows else ("no_rows", "no rows")
        names = " + ".join(file.name for file in inputs)
        faults.add(code, f"{names}: {there}; a dataset needs at least 2, to learn from and to check with")
    faults.stop_here()
    return [group for group in groups if group.table.rows]


def _called(stacks: Sequence[Stack]) -> str:
    return " + ".join(stack.called for stack in stacks)


def _named_splits(sources: Sequence[Source]) -> FileSplit | None:
    """The split that archives of tables say, by the names of these; None where they say none."""
    names = {each.file.name: each.file.split for each in sources}
    files = {split: [name for name, said in names.items() if said == split] for split in SPLITS}
    whole = all(names.values()) and files["train"] and (files["validation"] or files["test"])
    return FileSplit(files=SplitFiles(**files)) if whole else None


def _by_split(sources: dict[str, list[Source]], options: DatasetOptions) -> Iterator[tuple[int | None, list[Source]]]:
    if not isinstance(options.split, FileSplit):
        yield None, [source for each in sources.values() for source in each]
        return
    for place, split in enumerate(SPLITS):
        ids = getattr(options.split.files, split)
        if ids:
            yield place, [source for id in ids for source in sources[id]]


def blocks(groups: Sequence[Group], keep: Mask, context: Context) -> Iterator[Block]:
    """Rows that fit a few megabytes; the pages behind them are given back when the next ones are asked for."""
    offset = 0
    for group in groups:
        table, parts = group.table, group.plan.parts.values()
        width = sum(prod(part.shape) * (1 if part.modality == "image" else 8) for part in parts)
        step = max(1, BLOCK_BYTES // max(8, width))
        if any(not part.shape and part.modality not in ("classes", "numbers") for part in parts):
            step = min(step, RAGGED_ROWS)
        start = 0
        while start < table.rows:
            stop = table.fitting(start, min(start + step, table.rows), RAGGED_BYTES)
            yield Block(table, start, stop, offset + start, keep[offset + start : offset + stop])
            table.release()
            context.tick(stop - start)
            start = stop
        offset += table.rows
