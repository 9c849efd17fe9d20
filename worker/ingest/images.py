"""Reads archives of pictures: where each lies or what a metadata file says gives its class and its split.

Headers are looked at first, so that size and colours are known; pixels are unpacked later, one after the other on a
few threads, into a temporary file. Of a picture, path, size and classes are held; pixels only of those in work.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from app.errors import Malformed, TooLarge
from app.ml import pictures
from worker.ingest.archives import BROKEN, Member, open_tar, open_zip
from worker.ingest.faults import Faults, shown
from worker.ingest.imagefolder import LABEL_NOTE, SPLIT_NOTE, read_folders
from worker.ingest.picture_metadata import NAME, Metadata, read_metadata
from worker.ingest.source import Coded, Context, Head, Input, Loaded, Numbers, Wanted, map_array
from worker.ingest.staging import TEXT

IMAGE = "image"
PIXEL = np.dtype(np.uint8)
DEFAULT_SIZE = 128
"""Height and width of pictures that have more than one size, unless another is asked for."""
MOST_BYTES = 64 << 20
"""Of one picture's file."""
THREADS = min(4, os.cpu_count() or 1)
Size = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of an archive, with their labels and splits; row numbers count them in the archive's order."""

    file: Input
    heads: Sequence[Head]
    members: Sequence[Member] = ()
    size: Size = (0, 0, 0)
    folders: Mapping[str, Coded] = field(default_factory=dict)
    """Label and split, where folders give them."""
    metadata: Metadata = field(default_factory=lambda: Metadata(0))
    """What a metadata file says."""

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        names = {name: self.folders[name] for name in wanted.names if name in self.folders}
        parts = [part for part in wanted.numbers if list(part) != [IMAGE]]
        rest = Wanted(parts, [name for name in wanted.names if name not in names], wanted.ragged)
        said = self.metadata.load(rest, context)
        numbers = iter(said.numbers)
        pixels = [self._pixels(context) if list(part) == [IMAGE] else next(numbers) for part in wanted.numbers]
        return Loaded(len(self.members), pixels, {**said.names, **names}, said.ragged, (), said.bad)

    def _pixels(self, context: Context) -> list[Numbers]:
        staged = context.temporary()
        for pixels in self._unpack(context):
            staged.write(pixels.data)
            context.tick(0)
        staged.flush()
        if context.faults.total:
            return []
        values, release = map_array(staged, PIXEL, (len(self.members), *self.size))
        return [Numbers([IMAGE], values, release)]

    def _unpack(self, context: Context) -> Iterator[pictures.Pixels]:
        """The pictures in order, without those that are damaged."""
        waiting: deque[tuple[int, Future[pictures.Pixels]]] = deque()

        def oldest() -> Iterator[pictures.Pixels]:
            row, future = waiting.popleft()
            try:
                yield future.result()
            except (Malformed, TooLarge) as error:
                _refuse(self.file, "damaged_picture", error.message, row, context.faults)

        with ThreadPoolExecutor(THREADS) as pool:
            for row, member in enumerate(self.members, 1):
                content = _read(self.file, member, row, context.faults)
                if content is not None:
                    waiting.append((row, pool.submit(_fitted, content, self.file.name, member.path, self.size)))
                if len(waiting) > 2 * THREADS:
                    yield from oldest()
            while waiting:
                yield from oldest()


def open_pictures(file: Input, kind: str, size: int | None, context: Context) -> Pictures:
    """Looks at every picture's header; `kind` is zip or tar, `size` the one asked for."""
    archive = open_zip(file, context) if kind == "zip" else open_tar(file, context)
    metadata = [member for member in archive.members if NAME.search(member.path)]
    members = [member for member in archive.members if not NAME.search(member.path)]
    if not members:
        if not context.faults.total:
            message = f"{file.name} holds no pictures; {', '.join(pictures.FORMATS)} are read"
            context.faults.add("no_rows", message, file=file.id)
        return Pictures(file, [])
    found = _measure(file, members, context)
    paths = [member.path for member in members]
    labels, splits, folders = read_folders(archive, paths, context)
    said = read_metadata(archive, metadata, paths, context)
    heads = list(said.heads.values())
    by_folder: dict[str, Coded] = {}
    if not metadata and labels is not None:
        heads.append(Head("label", "table", TEXT, note=LABEL_NOTE))
        by_folder["label"] = labels
    if splits is not None and "split" not in said.heads:
        heads.append(Head("split", "table", TEXT, note=SPLIT_NOTE.format(folders)))
        by_folder["split"] = splits
    shape, scaled, note = _common(found, size)
    if archive.junk:
        note += f"; {archive.junk:,} files that operating systems leave were passed over"
    total = len(members) * int(np.prod(shape, dtype=object))
    if total > context.limit:
        message = (
            f"{file.name}: {len(members):,} pictures of {_shown(shape)} come to {total:,} bytes, "
            f"{context.limit:,} are allowed; give a smaller image_size"
        )
        context.faults.add("unpacks_too_large", message, file=file.id)
    heads = [Head(IMAGE, "array", PIXEL, shape, note=note, scaled=scaled), *heads]
    return Pictures(file, heads, members, shape, by_folder, said)


def _measure(file: Input, members: Sequence[Member], context: Context) -> Counter[Size]:
    found: Counter[Size] = Counter()
    for row, member in enumerate(members, 1):
        content = _read(file, member, row, context.faults)
        context.tick(0)
        if content is None:
            continue
        try:
            found[pictures.measure(content, f"{file.name}, picture {row:,}, {member.path}")] += 1
        except TooLarge as error:
            _refuse(file, "picture_too_large", error.message, row, context.faults)
        except Malformed as error:
            _refuse(file, "no_picture", error.message, row, context.faults)
    return found


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


def _fitted(content: bytes, archive: str, path: str, size: Size) -> pictures.Pixels:
    """[H, W, C], by the same steps as a request's picture takes."""
    pixels = pictures.recolour(pictures.decode(content, f"{archive}, {path}"), size[2])
    fitted: pictures.Pixels = np.ascontiguousarray(pictures.resize(pixels[None], size[0], size[1])[0])
    return fitted


def _read(file: Input, member: Member, row: int, faults: Faults) -> bytes | None:
    where = f"{file.name}, picture {row:,}, {shown(member.path)}:"
    if member.size > MOST_BYTES:
        problem = f"{where} is a file of {member.size:,} bytes; at most {MOST_BYTES:,} are read"
        _refuse(file, "picture_too_large", problem, row, faults)
        return None
    try:
        return member.read()
    except (*BROKEN, ValueError) as error:
        _refuse(file, "damaged", f"{where} cannot be unpacked: {error}", row, faults)
        return None


def _refuse(file: Input, code: str, message: str, row: int, faults: Faults) -> None:
    faults.add(code, message, file=file.id, row=row, column=IMAGE)


def _shown(size: Sequence[Any]) -> str:
    return f"{size[0]} x {size[1]} with {size[2]} channel{'s' if size[2] > 1 else ''}"
