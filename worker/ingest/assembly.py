"""The story of a dataset: open the files, plan the columns, judge every value, assign the rows, write the splits.

Knows no registry and no storage. Rows pass in blocks; of a row only class, group, hash, split and whether it
is kept are held.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset import ROW, Split, split_file
from app.dataset_options import SPLITS, DatasetOptions
from app.disk import needing_room
from worker.ingest.assignment import Rows, assign, leave_out_repeated
from worker.ingest.groups import Group, blocks, open_groups
from worker.ingest.kinds import base as kinds
from worker.ingest.kinds.classes import ClassesKind
from worker.ingest.labels import in_order, no_names
from worker.ingest.pipeline import Aside, ahead
from worker.ingest.planning.plan import Part
from worker.ingest.profile.description import describe
from worker.ingest.profile.examination import examine
from worker.ingest.profile.sides import parted
from worker.ingest.source import Context, Input
from worker.ingest.splitting import duplicates, splits
from worker.ingest.splitting.hashing import Hashes, combine
from worker.ingest.splitting.splits import Places
from worker.ingest.writer import SplitWriter

NO_HASHES = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Assembled:
    """The files of a dataset, by name, and its profile."""

    files: dict[str, IO[bytes]]
    sha256: dict[str, str]
    """Of every file."""
    profile: dict[str, Any]


def assemble(inputs: Sequence[Input], options: DatasetOptions, context: Context) -> Assembled:
    """Makes the splits' files. Raises Refused when the context has faults."""
    context.faults.drops = options.on_fault == "drop"
    groups = open_groups(inputs, options, context)
    context.expect(2 * sum(group.table.rows for group in groups))
    tables = [group.table for group in groups]
    plan = groups[0].plan
    made = {role: kinds.make(role, part, tables, options, context.faults) for role, part in plan.parts.items()}
    rows = _judge(groups, list(made.values()), options, context)
    leave_out_repeated(groups, rows, options, context.faults)
    places = assign(groups, rows, options, context.faults)
    for kind in made.values():
        kind.settle(places != splits.OUT)
    written, syncing = _write(groups, made, places, context), Aside(context.opened, len(SPLITS))
    plan.inferred |= {key: "; ".join(notes) for key, notes in context.inferred.items()}
    # meanwhile the last rows reach their files
    described = describe(plan, groups[0].heads, made, places, context.faults, rows)
    described["warnings"] += parted(groups, places)
    for writer in written.values():
        writer.close()
        syncing.do(os.fsync, writer.file.fileno())
    files = {name: writer.file for name, writer in written.items()}
    if options.profile == "full":
        opened: dict[str, Split] = {split: Split(files[split_file(split)]) for split in SPLITS}
        found, warnings = examine(opened, described, drawn_together=rows.drawn_together)
        described = {**described, **found, "warnings": [*described["warnings"], *warnings]}
    with needing_room(context.scratch):
        syncing.wait()
    return Assembled(files, {name: writer.sha256 for name, writer in written.items()}, described)


def _judge(groups: Sequence[Group], made: Sequence[kinds.Kind], options: DatasetOptions, context: Context) -> Rows:
    total = sum(group.table.rows for group in groups)
    keep, all_hashes = np.ones(total, np.bool_), np.zeros(total, np.int64)
    content = [kind for kind in made if kind.is_content]
    offset = 0
    for group in groups:
        keep[group.table.bad() + offset] = False
        offset += group.table.rows

    def hashed(block: kinds.Block) -> Hashes:
        with np.errstate(all="ignore"):  # values that are no pixels and do not fit float32 are judged behind it
            return combine([kind.sketch(block) for kind in content])

    for block, hashes in ahead(blocks(groups, keep, context), hashed):
        here = slice(block.overall, block.overall + block.rows)
        for kind in made:
            out = kind.judge(block)
            if out is not None:
                keep[here] &= ~out
        all_hashes[here] = hashes
    context.faults.stop_here()
    return Rows(keep, *_names(groups, made), _doubles(groups, keep, all_hashes, content, context))


def _doubles(
    groups: Sequence[Group], keep: kinds.Mask, hashes: Hashes, content: Sequence[kinds.Kind], context: Context
) -> duplicates.Numbers:
    """Numbers of the rows that have an equal one. Those whose sketches are equal are compared by all that they hold."""
    doubles = duplicates.number(hashes, keep)
    alike = doubles >= 0
    if alike.any() and any(kind.is_sketched for kind in content):

        def hashed(block: kinds.Block) -> Hashes:
            chosen = np.flatnonzero(block.kept)
            return combine([kind.hashes(block, chosen) for kind in content]) if len(chosen) else NO_HASHES

        again = replace(context, tick=lambda _: context.tick(0))
        for block, whole in ahead(blocks(groups, alike, again), hashed):
            hashes[block.overall : block.overall + block.rows][block.kept] = whole
        doubles = duplicates.number(hashes, alike)
    return doubles


def _names(groups: Sequence[Group], made: Sequence[kinds.Kind]) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """Classes and groups of all rows."""
    classes = next((kind.coded.codes for kind in made if isinstance(kind, ClassesKind)), None)
    if classes is None:
        classes = np.full(sum(group.table.rows for group in groups), -1, np.int32)
    if groups[0].plan.group is None:
        return classes, None
    given = [(group.table, group.plan.group) for group in groups]
    return classes, in_order([table.names[name] if name else no_names(table.rows) for table, name in given]).codes


def _write(
    groups: Sequence[Group], made: dict[str, kinds.Kind], places: Places, context: Context
) -> dict[str, SplitWriter]:
    there = [kind for kind in made.values() if not (isinstance(kind, ClassesKind) and not kind.coded.names)]
    name = groups[0].plan.group
    if name is not None:
        part = Part("classes", [name])
        group = kinds.make("group", part, [each.table for each in groups], DatasetOptions(files=["-"]), context.faults)
        group.settle(places != splits.OUT)
        there.append(group)
    schema = pa.schema([*(kind.field() for kind in there), ROW])
    writing, hashing = Aside(context.opened, 2), Aside(context.opened, 16)
    writers = [SplitWriter(context.temporary(), schema, writing, hashing) for _ in SPLITS]
    for block in blocks(groups, places != splits.OUT, context):
        here = places[block.overall : block.overall + block.rows]
        for place, writer in enumerate(writers):
            rows = np.flatnonzero(here == place)
            if len(rows):
                columns = [*(kind.column(block, rows) for kind in there), pa.array(rows + block.overall)]
                writer.add(pa.RecordBatch.from_arrays(columns, schema=schema))
    return {split_file(split): writer for split, writer in zip(SPLITS, writers, strict=True)}
