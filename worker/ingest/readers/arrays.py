"""Reads NPY and NPZ. Never unpickles: an array of Python objects is a fault, whatever it holds.

An array in a plain or merely stored file is mapped where it lies; a compressed member is unpacked to a temporary file
first, no further than its own header says and the limit allows.
"""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import PurePath
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.npy import read_header
from worker.ingest import labels
from worker.ingest.faults import shown
from worker.ingest.mapping import Mapped, map_array
from worker.ingest.readers.dialect import SAMPLE_ROWS
from worker.ingest.readers.series import is_series, may_be_series
from worker.ingest.readers.unpack import RATIO, is_bomb
from worker.ingest.source import LOOKED_AT, Context, Head, Input, Loaded, Numbers, Wanted
from worker.ingest.stages import RaggedStage

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
CHUNK = 1 << 20
LOCAL_HEADER = 30


@dataclass(frozen=True)
class Placed:
    """An array and where it lies."""

    name: str
    stream: IO[bytes]
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool = False


class Arrays:
    """The arrays of one file; all must have the same number of rows."""

    def __init__(self, file: Input, arrays: Sequence[Placed]) -> None:
        self.file = file
        self._arrays = {array.name: array for array in arrays}

    @property
    def arrays(self) -> Sequence[Placed]:
        return list(self._arrays.values())

    @property
    def heads(self) -> Sequence[Head]:
        return [self._head(array) for array in self._arrays.values()]

    def _head(self, array: Placed) -> Head:
        row = array.shape[1:]
        is_plain = prod(row) == 1 and array.dtype.kind in "iuf"
        if not (is_plain or may_be_series(array.dtype, row)):
            return Head(array.name, "array", array.dtype, row)
        values, release = self._map(array.name)
        first = np.array(values[: SAMPLE_ROWS if is_plain else LOOKED_AT])
        release()
        if not is_plain:
            return Head(array.name, "array", array.dtype, row, is_series=is_series(first))
        known = first[np.isfinite(first)]
        distinct, fractions = len(np.unique(known)), bool((known % 1 != 0).any())
        return Head(array.name, "array", array.dtype, row, distinct=distinct, sampled=len(known), fractions=fractions)

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        lengths = {name: self._arrays[name].shape[0] for name in wanted.columns}
        first = next(iter(lengths), "")
        for name, length in lengths.items():
            if length != lengths[first]:
                context.faults.add(
                    "length_mismatch",
                    f"{self.file.name}: {name!r} has {length:,} rows, {first!r} has {lengths[first]:,}; must be equal",
                    file=self.file.id,
                    column=name,
                )
        loaded = Loaded(min(lengths.values(), default=0))
        for part in wanted.numbers:
            loaded.numbers.append([Numbers([name], *self._map(name)) for name in part])
        for name in wanted.names:
            values, release = self._map(name)
            loaded.names[name] = labels.code_array(values)
            release()
            context.tick(0)
        for name in wanted.ragged:
            values, release = self._map(name)
            loaded.ragged[name] = _texts(values, context)
            release()
        return loaded

    def _map(self, name: str) -> Any:
        array = self._arrays[name]
        return map_array(array.stream, array.dtype, array.shape, offset=array.offset, fortran=array.fortran)


def _texts(values: NDArray[Any], context: Context) -> Mapped:
    """Strings of an array [N] or [N, 1]."""
    stage = RaggedStage(context)
    for start in range(0, len(values), labels.BLOCK):
        block = values[start : start + labels.BLOCK].reshape(-1)
        stage.add_texts(pa.array(block.astype(str).astype(object), pa.string()))
        context.tick(0)
    return stage.mapped()


def stem(filename: str) -> str:
    """The name of a single array's column: its file's without folder and endings."""
    name = PurePath(filename).name
    for ending in (".gz", ".zst", ".npy", ".idx", ".ubyte"):
        name = name.removesuffix(ending)
    return name or filename


def open_npy(file: Input, context: Context) -> Arrays:
    placed = _read_header(file, stem(file.name), file.stream, 0, file.size, context)
    return Arrays(file, [placed] if placed is not None else [])


def open_npz(file: Input, context: Context) -> Arrays:
    arrays: list[Placed] = []
    left = context.limit
    try:
        with zipfile.ZipFile(file.stream) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    context.faults.add(
                        "unknown_format",
                        f"{file.name} holds {shown(member.filename)}, which is no array; an NPZ holds .npy only",
                        file=file.id,
                    )
                    continue
                name = member.filename.removesuffix(".npy")
                placed = _open_member(file, archive, member, name, left, context)
                if placed is not None:
                    arrays.append(placed)
                    left -= member.file_size
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        context.faults.add("damaged", f"{file.name} is no readable NPZ: {error}", file=file.id)
    return Arrays(file, arrays)


def _open_member(
    file: Input, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, left: int, context: Context
) -> Placed | None:
    size, packed = member.file_size, member.compress_size
    if is_bomb(size, packed, left):
        context.faults.add(
            "unpacks_too_large",
            f"{file.name}: {name!r} would unpack {packed:,} bytes to {size:,}; {left:,} are left of what is allowed, "
            f"and a factor of {RATIO}. Send it uncompressed, or in parts",
            file=file.id,
            column=name,
        )
        return None
    if not 0 <= member.header_offset <= file.size - LOCAL_HEADER:
        raise zipfile.BadZipFile(f"its directory says that {name!r} begins outside of the file")
    if member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
        file.stream.seek(member.header_offset)
        local = file.stream.read(LOCAL_HEADER)
        start = member.header_offset + LOCAL_HEADER + sum(struct.unpack("<HH", local[26:30]))
        return _read_header(file, name, file.stream, start, size, context)
    unpacked = context.temporary()
    with archive.open(member) as stream:
        done = 0
        while chunk := stream.read(CHUNK):  # zipfile ends it at the size that was judged above
            done += len(chunk)
            unpacked.write(chunk)
            context.tick(0)
    unpacked.flush()
    return _read_header(file, name, unpacked, 0, done, context)


def _read_header(file: Input, name: str, stream: IO[bytes], start: int, size: int, context: Context) -> Placed | None:
    """The array whose NPY bytes begin at `start`; None when it cannot be used, and the fault says why."""
    stream.seek(start)
    try:
        header = read_header(stream)
    except ValueError as error:
        context.faults.add("damaged", f"{file.name}: {name!r} has no NPY header: {error}", file=file.id, column=name)
        return None
    code, problem = _judge(name, header.dtype, header.shape, size - (stream.tell() - start))
    if code:
        context.faults.add(code, f"{file.name}: {problem}", file=file.id, column=name)
        return None
    return Placed(name, stream, stream.tell(), header.dtype, header.shape, header.fortran)


def _judge(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], size: int) -> tuple[str, str]:
    """Code and text of what is wrong with an array of which `size` bytes are there; empty when nothing is."""
    if dtype.hasobject:
        problem = f"{name!r} holds pickled objects of type {dtype}, which are never read; save numbers or strings"
        return "pickled_array", f"{problem}, and text as .txt, .csv or .jsonl"
    if dtype.kind not in "biufSU" or (dtype.itemsize > 8 and dtype.kind in "iuf"):
        return (
            "unsupported_type",
            f"{name!r} is of type {dtype}; booleans, integers, floats to 64 bits and strings are read",
        )
    if not shape:
        return "unsupported_shape", f"{name!r} is a single value; its first axis must count the rows"
    expected = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size < expected:
        return "truncated", f"{name!r} is cut short: {size:,} of {expected:,} bytes for shape {list(shape)} are there"
    return "", ""
