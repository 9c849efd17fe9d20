"""The story of a dataset: open the files, plan the columns, judge every value, assign the rows, write the splits.

Knows no registry and no storage. Rows pass in blocks; of a row only class, group, hash, split and whether it
is kept are held.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset import BATCH_BYTES, ROW, Split, split_file
from app.dataset_options import SPLITS, DatasetOptions, FileSplit, Fractions
from worker.ingest import duplicates, splits
from worker.ingest.columns import follow, plan_columns
from worker.ingest.faults import Faults
from worker.ingest.formats import open_source
from worker.ingest.kinds import base as kinds
from worker.ingest.kinds.classes import ClassesKind
from worker.ingest.kinds.vectors import no_names
from worker.ingest.labels import in_order
from worker.ingest.layout import Joined, heads_of, join, stack_sources
from worker.ingest.plan import Part, Plan
from worker.ingest.profile.description import describe
from worker.ingest.profile.examination import examine
from worker.ingest.source import Context, Head, Input, Source
from worker.ingest.splits import Places
from worker.ingest.writer import SplitWriter

RAGGED_ROWS = 1 << 15
"""Rows of a block where items differ in length."""
RAGGED_BYTES = 4 * BATCH_BYTES
"""Of a column of them in a block, unless a single row has more."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Assembled:
    """The files of a dataset, by name, and its profile."""

    files: dict[str, IO[bytes]]
    profile: dict[str, Any]


@dataclass
class Group:
    """The files of one split, or all of them, as one table."""

    place: int | None
    plan: Plan
    heads: Sequence[Head]
    table: Joined


@dataclass
class Rows:
    """What is known of every row once all were judged."""

    keep: Mask
    hashes: duplicates.Hashes | None
    classes: NDArray[np.int32]
    """By which splits are stratified; -1 where there is no label."""
    groups: NDArray[np.int32] | None
    repeated: int = 0
    """Rows that are equal to an earlier one."""


def assemble(inputs: Sequence[Input], options: DatasetOptions, context: Context) -> Assembled:
    """Makes the splits' files. Raises Refused when the context has faults."""
    context.faults.drops = options.on_fault == "drop"
    groups = _open(inputs, options, context)
    context.expect(2 * sum(group.table.rows for group in groups))
    tables = [group.table for group in groups]
    plan = groups[0].plan
    made = {role: kinds.make(role, part, tables, options, context.faults) for role, part in plan.parts.items()}
    rows = _judge(groups, list(made.values()), options, context)
    places = _assign(groups, rows, options, context.faults)
    for kind in made.values():
        kind.settle(places != splits.OUT)
    files = _write(groups, made, places, context)
    described = describe(plan, groups[0].heads, made, places, context.faults, rows.repeated)
    if options.profile == "full":
        found, warnings = examine({split: Split(files[split_file(split)]) for split in SPLITS}, described)
        described = {**described, **found, "warnings": [*described["warnings"], *warnings]}
    return Assembled(files, described)


def _open(inputs: Sequence[Input], options: DatasetOptions, context: Context) -> list[Group]:
    faults = context.faults
    found = {file.id: open_source(file, options, context) for file in inputs}
    faults.stop_here()
    sources = {id: source for id, source in found.items() if source is not None}
    groups: list[Group] = []
    for place, members in _by_split(sources, options):
        stacks = stack_sources(members, faults)
        faults.stop_here()
        heads = heads_of(stacks)
        plan = follow(groups[0].plan, heads, options, faults) if groups else plan_columns(heads, options, faults)
        faults.stop_here()
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


def _by_split(sources: dict[str, Source], options: DatasetOptions) -> Iterator[tuple[int | None, list[Source]]]:
    if not isinstance(options.split, FileSplit):
        yield None, list(sources.values())
        return
    for place, split in enumerate(SPLITS):
        ids = getattr(options.split.files, split)
        if ids:
            yield place, [sources[id] for id in ids]


def _blocks(groups: Sequence[Group], keep: Mask, context: Context) -> Iterator[kinds.Block]:
    """Rows that fit a few megabytes; the pages behind them are given back when the next ones are asked for."""
    offset = 0
    for group in groups:
        table, parts = group.table, group.plan.parts.values()
        width = sum(prod(part.shape) for part in parts) * 8
        step = max(1, BATCH_BYTES // max(8, width))
        if any(not part.shape and part.modality not in ("classes", "numbers") for part in parts):
            step = min(step, RAGGED_ROWS)
        start = 0
        while start < table.rows:
            stop = table.fitting(start, min(start + step, table.rows), RAGGED_BYTES)
            yield kinds.Block(table, start, stop, offset + start, keep[offset + start : offset + stop])
            table.release()
            context.tick(stop - start)
            start = stop
        offset += table.rows


def _judge(groups: Sequence[Group], made: Sequence[kinds.Kind], options: DatasetOptions, context: Context) -> Rows:
    total = sum(group.table.rows for group in groups)
    wanted = options.cleaning.duplicates != "keep"
    rows = Rows(np.ones(total, np.bool_), np.zeros(total, np.int64) if wanted else None, *_names(groups, made))
    content = [kind for kind in made if kind.is_content]
    offset = 0
    for group in groups:
        rows.keep[group.table.bad() + offset] = False
        offset += group.table.rows
    for block in _blocks(groups, rows.keep, context):
        here = slice(block.overall, block.overall + block.rows)
        for kind in made:
            out = kind.judge(block)
            if out is not None:
                rows.keep[here] &= ~out
        if rows.hashes is not None and not context.faults.total:
            rows.hashes[here] = duplicates.hash_rows([kind.keys(block) for kind in content])
    context.faults.stop_here()
    if rows.hashes is not None:
        repeated = duplicates.repeated(rows.hashes, rows.keep)
        rows.repeated = int(repeated.sum())
        if options.cleaning.duplicates == "drop":
            _leave_out(groups, repeated, "duplicate", "equals an earlier row", context.faults)
            rows.keep &= ~repeated
    return rows


def _names(groups: Sequence[Group], made: Sequence[kinds.Kind]) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """Classes and groups of all rows."""
    classes = next((kind.coded.codes for kind in made if isinstance(kind, ClassesKind)), None)
    if classes is None:
        classes = np.full(sum(group.table.rows for group in groups), -1, np.int32)
    if groups[0].plan.group is None:
        return classes, None
    given = [(group.table, group.plan.group) for group in groups]
    return classes, in_order([table.names[name] if name else no_names(table.rows) for table, name in given]).codes


def _assign(groups: Sequence[Group], rows: Rows, options: DatasetOptions, faults: Faults) -> Places:
    first, keep = groups[0], rows.keep
    fractions = options.split if isinstance(options.split, Fractions) else splits.DEFAULT
    together = duplicates.sets(rows.hashes, rows.groups, keep)
    if together is not None and np.bincount(together[together >= 0]).max(initial=0) > keep.sum() / 2:
        together = rows.groups  # nearly all rows are one and the same
    if isinstance(options.split, FileSplit) or first.plan.split is not None:
        places = np.where(keep, _given(groups, keep, faults), np.int8(splits.OUT))
        if rows.hashes is not None:
            crossing = duplicates.across(rows.hashes, places)
            _leave_out(groups, crossing, "duplicate_across_splits", "stands in validation or test, too", faults)
            places[crossing] = splits.OUT
    else:
        places = splits.draw(rows.classes, fractions, keep, together)
    places = splits.with_validation(places, rows.classes, fractions.seed, together)
    sizes = {split: int((places == place).sum()) for place, split in enumerate(SPLITS)}
    if not sizes["train"] or not sizes["validation"]:
        faults.add(
            "too_few_rows",
            f"train has {sizes['train']} rows and validation {sizes['validation']}; each needs at least 1",
        )
    faults.stop_here()
    return places


def _given(groups: Sequence[Group], keep: Mask, faults: Faults) -> Places:
    """Places as files or a column say."""
    first = groups[0]
    if first.place is not None:
        return np.concatenate([np.full(group.table.rows, group.place, np.int8) for group in groups])
    assert first.plan.split is not None
    given = first.table.names[first.plan.split]
    places, unknown = splits.from_names(given.names, given.codes)
    for row in unknown[keep[unknown]]:
        where = first.table.origin(int(row), first.plan.split)
        value = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
        faults.row(
            "unknown_split",
            f"{where.file.name}, row {where.row:,}, column {where.column!r}: {value!r} is no split; "
            f"give {', '.join(SPLITS)}",
            file=where.file.id,
            row=where.row,
            column=where.column,
        )
    return places


def _leave_out(groups: Sequence[Group], rows: Mask, code: str, problem: str, faults: Faults) -> None:
    """Lists rows of the whole source as left out."""
    spots = np.flatnonzero(rows)
    for number, row in enumerate(spots.tolist()):
        if faults.drops_full:
            faults.count_drops(code, len(spots) - number)
            return
        for group in groups:
            if row < group.table.rows:
                break
            row -= group.table.rows
        column = next(iter(group.plan.parts.values())).columns[0]
        where = group.table.origin(row, column)
        faults.drop(code, f"{where.file.name}, row {where.row:,} {problem}", file=where.file.id, row=where.row)


def _write(
    groups: Sequence[Group], made: dict[str, kinds.Kind], places: Places, context: Context
) -> dict[str, IO[bytes]]:
    there = [kind for kind in made.values() if not (isinstance(kind, ClassesKind) and not kind.coded.names)]
    name = groups[0].plan.group
    if name is not None:
        part = Part("classes", [name])
        group = kinds.make("group", part, [each.table for each in groups], DatasetOptions(files=["-"]), context.faults)
        group.settle(places != splits.OUT)
        there.append(group)
    schema = pa.schema([*(kind.field() for kind in there), ROW])
    writers = [SplitWriter(context.temporary(), schema) for _ in SPLITS]
    for block in _blocks(groups, places != splits.OUT, context):
        here = places[block.overall : block.overall + block.rows]
        rows = np.arange(block.overall, block.overall + block.rows)
        for place, writer in enumerate(writers):
            chosen = here == place
            if chosen.any():
                columns = [*(kind.column(block, chosen) for kind in there), pa.array(rows[chosen])]
                writer.add(pa.RecordBatch.from_arrays(columns, schema=schema))
    for writer in writers:
        writer.close()
    return {split_file(split): writer.file for split, writer in zip(SPLITS, writers, strict=True)}
