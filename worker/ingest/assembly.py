"""The story of a dataset: open the files, plan the columns, judge every value, assign the rows, write the splits.

Knows no registry and no storage. Rows pass in blocks; of a row only class, split and whether it is kept are held.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.dataset import BATCH_BYTES, schema, split_file
from app.dataset_options import SPLITS, DatasetOptions, FileSplit, Fractions
from worker.ingest import profile, splits, values
from worker.ingest.columns import Plan, follow, plan_columns
from worker.ingest.faults import Faults
from worker.ingest.formats import open_source
from worker.ingest.labels import in_order
from worker.ingest.layout import Joined, heads_of, join, stack_sources
from worker.ingest.source import Coded, Context, Head, Input, Source
from worker.ingest.splits import Places
from worker.ingest.statistics import Moments
from worker.ingest.writer import SplitWriter


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


@dataclass(frozen=True)
class Seen:
    """What the first pass over the values found."""

    keep: NDArray[np.bool_]
    moments: Moments
    missing: NDArray[np.int64]
    """Values that were not finite, by column."""


def assemble(inputs: Sequence[Input], options: DatasetOptions, context: Context) -> Assembled:
    """Makes the splits' files. Raises Refused when the context has faults."""
    groups = _open(inputs, options, context)
    plan, rows = groups[0].plan, sum(group.table.rows for group in groups)
    context.expect(2 * rows)
    label = in_order([_label(group) for group in groups])
    seen = _judge(groups, options, context)
    places = _assign(groups, label, seen.keep, options, context.faults)
    kept = places != splits.OUT
    used = sorted(set(label.codes[kept].tolist()) - {-1})  # a class whose rows were all dropped is none
    table = np.full(len(label.names) + 1, -1, np.int32)
    table[used] = np.arange(len(used))
    label = Coded([label.names[code] for code in used], table[label.codes])
    files = _write(groups, plan, label, places, context)
    segments = groups[0].table.segments()
    return Assembled(
        files, profile.describe(plan, groups[0].heads, segments, seen.moments, seen.missing, label, places)
    )


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


def _label(group: Group) -> Coded:
    name = group.plan.label
    return group.table.texts[name] if name is not None else Coded([], np.full(group.table.rows, -1, np.int32))


def _blocks(groups: Sequence[Group], context: Context) -> Iterator[tuple[Joined, int, int, NDArray[Any]]]:
    """Table, first row there, first row overall, and the raw values [n, W] of every block."""
    offset = 0
    for group in groups:
        table = group.table
        step = max(1, BATCH_BYTES // (table.width * 8))
        for start in range(0, table.rows, step):
            stop = min(start + step, table.rows)
            yield table, start, offset + start, table.read(start, stop)
            table.release()
            context.tick(stop - start)
        offset += table.rows


def _judge(groups: Sequence[Group], options: DatasetOptions, context: Context) -> Seen:
    image = groups[0].plan.image
    drop = options.cleaning is not None and options.cleaning.non_finite == "drop"
    width = groups[0].table.width
    keep = np.ones(sum(group.table.rows for group in groups), np.bool_)
    seen = Seen(keep, Moments.nothing(width), np.zeros(width, np.int64))
    for table, start, overall, block in _blocks(groups, context):
        bad, wrong = values.judge(block, image=image)

        def origin(row: int, column: int, table: Joined = table, start: int = start) -> Any:
            return table.origin(start + row, column)

        for code, mask in wrong.items():
            values.report(code, mask, block, context.faults, origin)
        if bad is not None and not drop:
            values.report("non_finite", bad, block, context.faults, origin)
        elif bad is not None:
            good = ~bad.any(axis=1)
            keep[overall : overall + len(block)] = good
            np.add(seen.missing, bad.sum(axis=0), out=seen.missing)
            block = block[good]
        if not context.faults.total:
            seen.moments.add(block)
    context.faults.stop_here()
    return seen


def _assign(
    groups: Sequence[Group], label: Coded, keep: NDArray[np.bool_], options: DatasetOptions, faults: Faults
) -> Places:
    first = groups[0]
    seed = 0
    if isinstance(options.split, FileSplit):
        parts = [np.full(group.table.rows, group.place, np.int8) for group in groups]
        places = np.where(keep, np.concatenate(parts), np.int8(splits.OUT))
    elif first.plan.split is not None:
        given = first.table.texts[first.plan.split]
        places, unknown = splits.from_names(given.names, given.codes)
        for row in unknown[keep[unknown]]:
            where = first.table.text_origin(int(row), first.plan.split)
            value = given.names[given.codes[row]] if given.codes[row] >= 0 else ""
            faults.add(
                "unknown_split",
                f"{where.file.name}, row {where.row:,}, column {where.column!r}: {value!r} is no split; "
                f"give {', '.join(SPLITS)}",
                file=where.file.id,
                row=where.row,
                column=where.column,
            )
        places = np.where(keep, places, np.int8(splits.OUT))
    else:
        fractions = options.split if isinstance(options.split, Fractions) else splits.DEFAULT
        seed = fractions.seed
        places = splits.draw(label.codes, fractions, keep)
    places = splits.with_validation(places, label.codes, seed)
    sizes = {split: int((places == place).sum()) for place, split in enumerate(SPLITS)}
    if not sizes["train"] or not sizes["validation"]:
        faults.add(
            "too_few_rows",
            f"train has {sizes['train']} rows and validation {sizes['validation']}; each needs at least 1",
        )
    faults.stop_here()
    return places


def _write(groups: Sequence[Group], plan: Plan, label: Coded, places: Places, context: Context) -> dict[str, IO[bytes]]:
    columns = schema(plan.shape, image=plan.image, labelled=bool(label.names))
    writers = [SplitWriter(context.temporary(), columns, label.names) for _ in SPLITS]
    for _, _, overall, block in _blocks(groups, context):
        here = slice(overall, overall + len(block))
        rows = np.arange(here.start, here.stop)
        for place, writer in enumerate(writers):
            chosen = places[here] == place
            writer.add(values.convert(block[chosen], image=plan.image), label.codes[here][chosen], rows[chosen])
    for writer in writers:
        writer.close()
    return {split_file(split): writer.file for split, writer in zip(SPLITS, writers, strict=True)}
