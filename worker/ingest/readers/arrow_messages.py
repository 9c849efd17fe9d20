"""Reads how large an Arrow IPC message is once unpacked, before anything unpacks it. Knows no column.

Messages are FlatBuffers; the few fields that matter are followed by hand, as no part of pyarrow shows them.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

DICTIONARY, RECORDS = 2, 3
"""`MessageHeader` of Arrow's Message.fbs."""
HEADER_TYPE, HEADER = 1, 2
LENGTH, BUFFERS, COMPRESSION = 0, 2, 3
DATA = 1
PREFIX = 8
"""A packed buffer begins with its own length as int64, -1 when it is not packed after all."""


@dataclass(frozen=True)
class Batch:
    """A record batch or a dictionary before it is read."""

    rows: int
    """0 for a dictionary."""
    packed: bool
    size: int
    """Bytes of its buffers once unpacked."""


def batches(source: pa.Buffer) -> Iterator[Batch]:
    """The batches of an IPC stream. Raises ArrowInvalid, OSError and struct.error when it is damaged."""
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(source))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary"):
            yield _batch(message.metadata.to_pybytes(), message.body)


def _batch(metadata: bytes, body: pa.Buffer) -> Batch:
    root = _follow(metadata, 0)
    kind = metadata[_field(metadata, root, HEADER_TYPE)]
    table = _follow(metadata, _field(metadata, root, HEADER))
    if kind == DICTIONARY:
        table = _follow(metadata, _field(metadata, table, DATA))
    at = _field(metadata, table, LENGTH)
    rows: int = struct.unpack_from("<q", metadata, at)[0] if at and kind == RECORDS else 0
    if not _field(metadata, table, COMPRESSION):
        return Batch(rows, False, body.size)
    vector = _follow(metadata, _field(metadata, table, BUFFERS))
    (count,) = struct.unpack_from("<I", metadata, vector)
    size = 0
    for offset, length in struct.iter_unpack("<qq", metadata[vector + 4 : vector + 4 + 16 * count]):
        if length:
            (unpacked,) = struct.unpack("<q", body.slice(offset, PREFIX).to_pybytes())
            size += length if unpacked < 0 else unpacked
    return Batch(rows, True, size)


def _follow(metadata: bytes, at: int) -> int:
    offset: int = struct.unpack_from("<I", metadata, at)[0]
    return at + offset


def _field(metadata: bytes, table: int, number: int) -> int:
    """Where a table's field lies; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    (size,) = struct.unpack_from("<H", metadata, vtable)
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", metadata, vtable + at)[0] if at < size else 0
    return table + offset if offset else 0
