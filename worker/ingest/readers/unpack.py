"""Unpacks a file that is packed as a whole, with gzip or zstd, to a temporary file. Knows no format within.

What may unpack is bounded here, for archives as well: a small file must not fill the disk.
"""

from dataclasses import replace

import pyarrow as pa

from worker.ingest.source import Context, Input

MAGICS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
CHUNK = 1 << 20
RATIO = 200
RATIO_FREE = 256 * CHUNK
"""Anything may unpack to this without question; beyond it, to no more than RATIO times its packed size."""


def packed_with(first: bytes) -> str | None:
    """gzip or zstd by the first bytes of a file; None when it is neither."""
    return next((kind for magic, kind in MAGICS.items() if first.startswith(magic)), None)


def is_bomb(size: int, packed: int, limit: int) -> bool:
    """Whether `packed` bytes may not become `size` bytes."""
    return size > limit or (size > RATIO_FREE and size > RATIO * packed)


def refuse(file: Input, what: str, size: int, context: Context, *, column: str | None = None) -> None:
    """The fault of a bomb; `what` is the file or a part of it, `size` what it comes to, as far as is known."""
    context.faults.add(
        "unpacks_too_large",
        f"{what} unpacks to {size:,} bytes or more; {context.limit:,} are allowed, and a factor of {RATIO}. "
        "Send it less packed, or in parts",
        file=file.id,
        column=column,
    )


def unpack(file: Input, kind: str, context: Context) -> Input | None:
    """The same file without its packing; None when that fails, and the fault says why."""
    unpacked, done = context.temporary(), 0
    file.stream.seek(0)
    stream = pa.CompressedInputStream(pa.PythonFile(file.stream, mode="r"), kind)
    while True:
        try:
            chunk = stream.read(CHUNK)
        except OSError as error:
            if "Truncated" in str(error):
                problem = ("truncated", f"{file.name} is cut short: its {kind} stream does not end")
            else:
                problem = ("damaged", f"{file.name} is no readable {kind} file: {error}")
            context.faults.add(*problem, file=file.id)
            return None
        if not chunk:
            break
        done += len(chunk)
        if is_bomb(done, file.size, context.limit):
            refuse(file, file.name, done, context)
            return None
        unpacked.write(chunk)
        context.tick(0)
    unpacked.flush()
    return replace(file, stream=unpacked, size=done)
