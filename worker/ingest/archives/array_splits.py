"""Makes one table with splits of arrays called `x_train` and `x_test`, or `train_images` and `test_images`.

Knows no array's format.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker.ingest.archives.folders import SPLIT_FOLDERS, split_name
from worker.ingest.labels import in_order
from worker.ingest.mapping import Mapped, map_array
from worker.ingest.readers.arrays import CHUNK, Arrays, Placed
from worker.ingest.readers.heads import TEXT
from worker.ingest.source import Coded, Context, Head, Input, Loaded, Numbers, Source, Wanted
from worker.ingest.stages import RaggedStage

SPLIT = "split"
_NAMES = "|".join(SPLIT_FOLDERS)
NAMED = re.compile(rf"(?P<first>{_NAMES})[_.-](?P<of>.+)|(?P<base>.+)[_.-](?P<last>{_NAMES})", re.IGNORECASE)


@dataclass(frozen=True)
class SplitArrays:
    """The arrays of every split, one split below the other."""

    file: Input
    parts: Mapping[str, Arrays]

    @property
    def heads(self) -> Sequence[Head]:
        first = next(iter(self.parts.values()))
        note = f"the names of the arrays: {', '.join(self.parts)}"
        return [*first.heads, Head(SPLIT, "table", TEXT, note=note)]

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        names = [name for name in wanted.names if name != SPLIT]
        loaded = [part.load(replace(wanted, names=names), context) for part in self.parts.values()]
        sizes = [each.rows for each in loaded]
        coded = {name: in_order([each.names[name] for each in loaded]) for name in names}
        coded[SPLIT] = Coded(list(self.parts), np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
        numbers = [
            [_stacked([each.numbers[place][column] for each in loaded], context) for column in range(len(part))]
            for place, part in enumerate(wanted.numbers)
        ]
        ragged = {name: _below([each.ragged[name] for each in loaded], context) for name in wanted.ragged}
        return Loaded(sum(sizes), numbers, coded, ragged)


def by_split(source: Arrays) -> Source:
    """The same arrays as one table, where all are named for splits and those of a name differ in their rows alone."""
    found: dict[str, dict[str, Placed]] = {}
    for array in source.arrays:
        named = NAMED.fullmatch(array.name)
        if named is None:
            return source
        base, split = named["of"] or named["base"], split_name(named["first"] or named["last"])
        found.setdefault(split, {})[base] = replace(array, name=base)
    kinds = [{(name, each.dtype, each.shape[1:]) for name, each in arrays.items()} for arrays in found.values()]
    if len(found) < 2 or any(kind != kinds[0] for kind in kinds):
        return source
    return SplitArrays(source.file, {split: Arrays(source.file, list(each.values())) for split, each in found.items()})


def _stacked(parts: Sequence[Numbers], context: Context) -> Numbers:
    staged = context.temporary()
    for part in parts:
        step = max(1, CHUNK // max(1, part.values[:1].nbytes))
        for start in range(0, len(part.values), step):
            staged.write(np.ascontiguousarray(part.values[start : start + step]).data)
            context.tick(0)
        part.release()
    staged.flush()
    first = parts[0].values
    values, release = map_array(staged, first.dtype, (sum(len(part.values) for part in parts), *first.shape[1:]))
    return Numbers(parts[0].names, values, release)


def _below(parts: Sequence[Mapped], context: Context) -> Mapped:
    stage = RaggedStage(context)
    for part in parts:
        rows = part.read(0, len(part))
        stage.add(rows.flat, rows.lengths)
        part.release()
    return stage.mapped()
