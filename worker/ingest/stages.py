"""Holds columns while they come, in temporary files that are mapped once all is there. Knows no format."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.mapping import Mapped, map_array
from worker.ingest.source import Context
from worker.ingest.texts import Texts

BYTE = np.dtype(np.uint8)
OFFSET = np.dtype(np.int64)
BETWEEN = "\x1f"
"""What stands between the texts of a list that is held as one text: ASCII has it for that."""
SPEAKERS = ("role", "from")
"""Keys under which a turn of a conversation has its speaker."""
AT_ONCE = 1 << 10
"""Conversations that are taken apart at once."""


class RaggedStage:
    """Rows of different lengths: their values in one file, where they end in another."""

    def __init__(self, context: Context, dtype: np.dtype[Any] = BYTE, inner: tuple[int, ...] = ()) -> None:
        """`inner` is the shape of one value."""
        self._values, self._offsets = context.temporary(), context.temporary()
        self._dtype, self._inner = dtype, inner
        self._offsets.write(np.zeros(1, OFFSET).data)
        self.rows = 0
        self._end = 0

    def add(self, values: NDArray[Any], lengths: NDArray[np.int64]) -> None:
        """Rows one after the other: all their values, and how many are each one's."""
        self._values.write(np.ascontiguousarray(values, self._dtype).data)
        self._offsets.write((np.cumsum(lengths, dtype=OFFSET) + self._end).data)
        self._end += int(lengths.sum())
        self.rows += len(lengths)

    def add_texts(self, column: pa.Array) -> None:
        """Texts or bytes of any Arrow type, nothing for a null."""
        step = AT_ONCE if is_turns(column.type) else max(1, len(column))
        for start in range(0, len(column), step):
            values, offsets = as_bytes(column.slice(start, step))
            self.add(values, np.diff(offsets))

    def mapped(self) -> Mapped:
        """All rows. Nothing may be added afterwards."""
        self._values.flush()
        self._offsets.flush()
        values, give_values_back = map_array(self._values, self._dtype, (self._end, *self._inner))
        offsets, give_offsets_back = map_array(self._offsets, OFFSET, (self.rows + 1,))

        def release() -> None:
            give_values_back()
            give_offsets_back()

        return Mapped(Ragged(values, offsets), release)


@dataclass(frozen=True, kw_only=True)
class Apart(Mapped):
    """Texts that lie where they were found: what is held are they and, by turns, what lies between two of them."""

    stops: NDArray[np.int64]
    """Where runs of them end of which it is known whether all are plain."""
    plain: NDArray[np.bool_]

    def __len__(self) -> int:
        return (len(self.held) + 1) // 2

    def fitting(self, start: int, stop: int, most: int) -> tuple[int, int]:
        place, size = super().fitting(2 * start, 2 * stop - 1, most)
        return (place + 1) // 2, size

    def read(self, start: int, stop: int) -> Ragged:
        return Ragged(*as_bytes(self.texts(start, stop).taken()))

    def texts(self, start: int, stop: int) -> Texts:
        offsets = self.held.offsets[2 * start : 2 * stop]
        first, last = np.searchsorted(self.stops, (start, stop - 1), side="right")
        return Texts(self.held.values, offsets[::2], offsets[1::2], bool(self.plain[first : last + 1].all()))


def as_bytes(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of a column of texts, and the offsets [rows + 1] at which they begin among them; views if possible.

    The texts of a list have BETWEEN between them; conversations are JSON.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_turns(column.type):
        rows = column.to_pylist()
        column = pa.array([None if row is None else orjson.dumps(row, default=str) for row in rows], pa.binary())
    if is_labels(column.type):
        column = pc.binary_join(column, BETWEEN)
    files = whole_files(column)
    column = column if files is None else files
    if not pa.types.is_string(column.type):
        column = column.cast(pa.large_binary() if _is_binary(column.type) else pa.large_string())
    whole = column.fill_null("")
    _, places, held = whole.buffers()
    kind = np.int32 if pa.types.is_string(whole.type) else OFFSET
    offsets = np.frombuffer(places, kind, len(whole) + 1 + whole.offset)[whole.offset :].astype(OFFSET, copy=False)
    values = np.frombuffer(held, BYTE) if held is not None and held.size else np.zeros(0, BYTE)
    return values[offsets[0] : offsets[-1]], offsets - offsets[0]


def is_labels(kind: pa.DataType) -> bool:
    """Whether a row is a list of texts."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(listed and (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type)))


def is_turns(kind: pa.DataType) -> bool:
    """Whether a row is a conversation: a list of what somebody said."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return False
    return any(kind.value_type.get_field_index(name) >= 0 for name in SPEAKERS)


def whole_files(column: pa.Array) -> pa.Array | None:
    """The bytes of a column of files: one of bytes, or of `{"bytes", "path"}` as Hugging Face has it; else None."""
    if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
        column = pc.struct_field(column, "bytes")
    return column if _is_binary(column.type) else None


def as_texts(rows: Ragged) -> pa.StringArray:
    """UTF-8 rows as an Arrow column; they must be less than 2 GiB in all."""
    first, last = int(rows.offsets[0]), int(rows.offsets[-1])
    values = np.ascontiguousarray(rows.values[first:last])
    offsets = (rows.offsets - first).astype(np.int32)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(values))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
