"""Reads archives of pictures, and the boxes beside them.

Headers are looked at first, so that size and colours are known; pixels are unpacked later, into a temporary file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.dataset_options import DatasetOptions
from app.ml import pictures
from worker.ingest.annotations import read_annotations
from worker.ingest.archives import Archive
from worker.ingest.items import Items, list_items
from worker.ingest.marks import BOXES
from worker.ingest.source import Context, Head, Input, Loaded, Mapped, Numbers, Wanted, map_array

IMAGE = "image"
PIXEL = np.dtype(np.uint8)
BOX = np.dtype(np.float32)
DEFAULT_SIZE = 128
"""Height and width of pictures that have more than one size, unless another is asked for."""
Size = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of an archive, with what is said of them."""

    items: Items
    heads: Sequence[Head]
    size: Size = (0, 0, 0)
    boxes: Mapped | None = None
    """In every picture, where annotation files say so."""

    @property
    def file(self) -> Input:
        return self.items.file

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        rest = replace(wanted, ragged=[name for name in wanted.ragged if name != BOXES])
        said = self.items.load(rest, context)
        numbers = iter(said.numbers)
        pixels = [self._pixels(context) if list(part) == [IMAGE] else next(numbers) for part in wanted.numbers]
        ragged = (
            {**said.ragged, BOXES: self.boxes} if self.boxes is not None and BOXES in wanted.ragged else said.ragged
        )
        return replace(said, numbers=pixels, ragged=ragged, bad=sorted({*self.items.bad, *said.bad}))

    def _pixels(self, context: Context) -> list[Numbers]:
        staged, nothing = context.temporary(), np.zeros(self.size, PIXEL)

        def fitted(content: bytes, name: str) -> pictures.Pixels:
            """[H, W, C], by the same steps as a request's picture takes."""
            pixels = pictures.recolour(pictures.decode(content, name), self.size[2])
            return np.ascontiguousarray(pictures.resize(pixels[None], self.size[0], self.size[1])[0])

        for pixels in self.items.unpack(fitted, context):
            staged.write((nothing if pixels is None else pixels).data)
        staged.flush()
        if context.faults.total:
            return []
        values, release = map_array(staged, PIXEL, (len(self.items.members), *self.size))
        return [Numbers([IMAGE], values, release)]


def open_pictures(archive: Archive, options: DatasetOptions, context: Context) -> Pictures:
    """Looks at every picture's header, and reads the annotation files."""
    archive, marks = read_annotations(archive, context)
    items = list_items(archive, "picture", IMAGE, context)
    if not items.members:
        return Pictures(items, [])
    look = pictures.measure if marks is None else _look
    looks: list[tuple[int, ...]] = list(items.look(look, context))
    shape, scaled, note = _common(Counter((each[0], each[1], each[2]) for each in looks), options.image_size)
    size_all = len(items.members) * int(np.prod(shape, dtype=object))
    items.fits(size_all, f"pictures of {_shown(shape)}", "give a smaller image_size", context)
    heads = [Head(IMAGE, "array", PIXEL, shape, note=note + items.note, scaled=scaled), *items.heads]
    if marks is None:
        return Pictures(items, heads, shape)
    readable = [row for row in range(len(items.members)) if row not in items.bad]
    seen = {row: (each[0], each[1], each[3]) for row, each in zip(readable, looks, strict=True)}
    boxes = marks.place(items, seen, shape, options.cleaning, context)
    items.bad.update(marks.bad)
    about = {"labels": marks.names, "picture": list(shape[:2]), "changed": dict(marks.changed)}
    there = f"{marks.format} files with {len(boxes.rows.values):,} boxes of {len(marks.names):,} classes"
    head = Head(BOXES, "array", BOX, ragged="boxes", note=there, about=about)
    folders = [each for each in heads if each.name != "label" or each.name in items.metadata.heads]
    return Pictures(items, [*folders, head], shape, boxes)


def _look(content: bytes, name: str) -> tuple[int, int, int, int]:
    """Height, width and channels once upright, and the orientation by EXIF."""
    return *pictures.measure(content, name), pictures.turn(content, name)


def _common(found: Counter[Size], size: int | None) -> tuple[Size, bool, str]:
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
