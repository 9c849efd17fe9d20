"""Reads archives of pictures, and the boxes beside them.

Headers are looked at first, so that size and colours are known; pixels are unpacked later, into a temporary file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from app.dataset_options import DatasetOptions
from app.ml.image import pictures
from worker.ingest.archives.annotations.finding import read_annotations
from worker.ingest.archives.annotations.marks import BOXES, Marks
from worker.ingest.archives.annotations.placing import Placed
from worker.ingest.archives.annotations.split_lists import SPLIT
from worker.ingest.archives.containers import Archive
from worker.ingest.archives.folders import code
from worker.ingest.archives.items import Items, list_items, told_apart
from worker.ingest.faults import counted
from worker.ingest.mapping import map_array
from worker.ingest.readers.heads import TEXT
from worker.ingest.source import Context, Head, Input, Loaded, Numbers, Wanted

IMAGE, CAPTION = "image", "caption"
PIXEL = np.dtype(np.uint8)
BOX = np.dtype(np.float32)
DEFAULT_SIZE = 128
"""Height and width of pictures that have more than one size, unless another is asked for."""
Size = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Pictures:
    """Pictures with what is said of them. Their size is decided once those of all files have been looked at."""

    items: Items
    placed: Placed | None
    """Boxes in the pictures, where annotation files say so."""
    options: DatasetOptions
    context: Context

    @property
    def file(self) -> Input:
        return self.items.file

    @cached_property
    def heads(self) -> Sequence[Head]:
        if not self.items.members:
            return []
        size, scaled, note = self._common
        size_all = len(self.items.members) * int(np.prod(size, dtype=object))
        self.items.fits(size_all, f"pictures of {_shown(size)}", "give a smaller image_size", self.context)
        heads = [Head(self.items.column, "array", PIXEL, size, note=note + self.items.note, scaled=scaled)]
        if self.placed is None:
            return [*heads, *self.items.heads]
        marks = self.placed.marks
        about = {"labels": marks.names, "picture": list(size[:2]), "changed": dict(marks.changed)}
        note = f"{marks.format} files with {counted(len(self.placed), 'box')} of {counted(len(marks.names), 'class')}"
        heads.append(Head(BOXES, "array", BOX, ragged="boxes", note=note, about=about))
        folders = [each for each in self.items.heads if each.name not in self.items.folders or each.name != "label"]
        return [*heads, *folders]

    @cached_property
    def _common(self) -> tuple[Size, bool, str]:
        return common(self.context.sizes, self.options.image_size)

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        rest = replace(wanted, ragged=[name for name in wanted.ragged if name != BOXES])
        said = self.items.load(rest, context)
        numbers, own = iter(said.numbers), [self.items.column]
        pixels = [self._pixels(context) if list(part) == own else next(numbers, []) for part in wanted.numbers]
        ragged = dict(said.ragged)
        if self.placed is not None and BOXES in wanted.ragged:
            ragged[BOXES] = self.placed.mapped(self._common[0])
        return replace(said, numbers=pixels, ragged=ragged, bad=sorted({*self.items.bad, *said.bad}))

    def _pixels(self, context: Context) -> list[Numbers]:
        size = self._common[0]
        staged, nothing = context.temporary(), np.zeros(size, PIXEL)

        def fitted(content: bytes, name: str) -> pictures.Pixels:
            """[H, W, C], by the same steps as a request's picture takes."""
            return np.ascontiguousarray(pictures.recolour(pictures.decode(content, name, size[:2]), size[2]))

        for pixels in self.items.unpack(fitted, context):
            staged.write((nothing if pixels is None else pixels).data)
        staged.flush()
        if context.faults.total:
            return []
        values, release = map_array(staged, PIXEL, (len(self.items.members), *size))
        return [Numbers([self.items.column], values, release)]


def open_pictures(archive: Archive, options: DatasetOptions, context: Context) -> Pictures:
    """Looks at every picture's header, and reads the annotation files."""
    archive, marks = read_annotations(archive, options.format, context)
    items = list_items(archive, told_apart(archive, CAPTION), "picture", IMAGE, context, once=marks is not None)
    if marks is not None and marks.splits and all(head.name != SPLIT for head in items.heads):
        head = Head(SPLIT, "table", TEXT, note="the lists of pictures beside the annotations")
        items = replace(items, heads=[*items.heads, head], folders={**items.folders, SPLIT: code(marks.splits)})
    return open_items(items, marks, options, context)


def open_items(items: Items, marks: Marks | None, options: DatasetOptions, context: Context) -> Pictures:
    """Looks at every picture's header, and judges the boxes."""
    looks = list(items.look(pictures.look, context))
    context.sizes.update((height, width, channels) for height, width, channels, _ in looks)
    if marks is None:
        return Pictures(items, None, options, context)
    readable = [row for row in range(len(items.members)) if row not in items.bad]
    seen = {row: (look[0], look[1], look[3]) for row, look in zip(readable, looks, strict=True)}
    placed = Placed(marks, items, seen, options.cleaning, context)
    items.bad.update(marks.bad)
    return Pictures(items, placed, options, context)


def common(found: Counter[Size], size: int | None) -> tuple[Size, bool, str]:
    """The size that all get, whether that scales any, and the reason."""
    channels = max((each[2] for each in found), default=1)
    sizes = sorted({each[:2] for each in found}, key=lambda each: each[0] * each[1]) or [(1, 1)]
    height, width = (size, size) if size is not None else sizes[0] if len(sizes) == 1 else (DEFAULT_SIZE, DEFAULT_SIZE)
    shape = (height, width, channels)
    if sizes == [(height, width)]:
        return shape, False, f"all pictures are {_shown(shape)}"
    smallest, largest = (" x ".join(map(str, sizes[place])) for place in (0, -1))
    why = "as image_size says" if size is not None else "give image_size to decide otherwise"
    note = f"pictures of {len(sizes):,} sizes, {smallest} to {largest}, were scaled to {_shown(shape)}; {why}"
    return shape, True, note


def _shown(size: Sequence[Any]) -> str:
    return f"{size[0]} x {size[1]} with {size[2]} channel{'s' if size[2] > 1 else ''}"
