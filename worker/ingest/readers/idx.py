"""Reads IDX, the format of the classic digit sets: a big-endian header, then the array."""

import struct
from typing import IO

import numpy as np

from worker.ingest.readers.arrays import Arrays, Placed, stem
from worker.ingest.source import Context, Input

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 8


def is_idx(first: bytes) -> bool:
    return len(first) >= 4 and first[:2] == b"\0\0" and first[2] in TYPES and 1 <= first[3] <= MOST_AXES


def open_idx(file: Input, context: Context) -> Arrays:
    placed = _read_header(file, file.stream, context)
    return Arrays(file, [placed] if placed is not None else [])


def _read_header(file: Input, stream: IO[bytes], context: Context) -> Placed | None:
    size = stream.seek(0, 2)
    stream.seek(0)
    first = stream.read(4)
    if not is_idx(first):
        context.faults.add(
            "unknown_format",
            f"{file.name} is no IDX file: it begins with {first.hex(' ')!r}, not 00 00, a type and a number of axes",
            file=file.id,
        )
        return None
    axes = stream.read(4 * first[3])
    name = stem(file.name)
    if len(axes) == 4 * first[3]:
        shape = struct.unpack(f">{first[3]}I", axes)
        dtype = np.dtype(TYPES[first[2]])
        expected = 4 + len(axes) + int(np.prod(shape, dtype=object)) * dtype.itemsize
        if size == expected:
            return Placed(name, stream, 4 + len(axes), dtype, shape)
        code = "truncated" if size < expected else "damaged"
        problem = (
            f"is cut short: {size:,} of {expected:,}" if size < expected else f"has {size:,} instead of {expected:,}"
        )
        context.faults.add(code, f"{file.name} {problem} bytes for shape {list(shape)}", file=file.id, column=name)
    else:
        context.faults.add("truncated", f"{file.name} is cut short: it ends within its header", file=file.id)
    return None
