"""Reads IDX, the format of the classic digit sets: a big-endian header, then the array; also packed with gzip."""

import gzip
import struct
import zlib
from typing import IO

import numpy as np

from worker.ingest.arrays import Arrays, Placed, stem
from worker.ingest.source import Context, Input

GZIP_MAGIC = b"\x1f\x8b"
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CHUNK = 1 << 20
MOST_AXES = 8


def is_idx(first: bytes) -> bool:
    return len(first) >= 4 and first[:2] == b"\0\0" and first[2] in TYPES and 1 <= first[3] <= MOST_AXES


def open_idx(file: Input, context: Context) -> Arrays:
    file.stream.seek(0)
    packed = file.stream.read(2) == GZIP_MAGIC
    file.stream.seek(0)
    stream = _unpack(file, context) if packed else file.stream
    placed = _read_header(file, stream, context) if stream is not None else None
    return Arrays(file, [placed] if placed is not None else [])


def _unpack(file: Input, context: Context) -> IO[bytes] | None:
    unpacked = context.temporary()
    done = 0
    try:
        with gzip.open(file.stream) as stream:
            while chunk := stream.read(CHUNK):
                done += len(chunk)
                if done > context.limit:
                    context.faults.add(
                        "unpacks_too_large", f"{file.name} unpacks to more than {context.limit:,} bytes", file=file.id
                    )
                    return None
                unpacked.write(chunk)
                context.tick(0)
    except EOFError:
        context.faults.add("truncated", f"{file.name} is cut short: its gzip stream does not end", file=file.id)
        return None
    except (OSError, zlib.error) as error:
        context.faults.add("damaged", f"{file.name} is no readable gzip file: {error}", file=file.id)
        return None
    unpacked.flush()
    return unpacked


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
