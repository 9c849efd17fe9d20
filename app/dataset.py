"""Opens an immutable dataset at a path: its profile, its splits, their record batches, memory-mapped.

Knows no storage, no registry and nothing of how a dataset is made; the names and the fields here bind both sides.
A split is an Arrow IPC file with a column for every role (`input`, `target`, `source` …) and one called `row` (int64,
position in the source, from 0). A role's field tells its modality in its metadata, and the shape of
items that have one size:

vectors: FixedSizeList of float32. image: FixedSizeList of uint8, H*W*C. text: string. audio: list of int16 samples.
classes: dictionary<int32, string>, null where the label is withheld. numbers: float32, null where withheld.
tags: list of int32 positions. boxes: list of float32, five for every box: class position, x0, y0, x1, y1. Both are null
where they are withheld.
"""

import json
import mmap
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from app.dataset_roles import column_of, with_sides
from app.errors import ArtifactDamaged
from app.ragged import Ragged

FORMAT = 2
INFO = "dataset.json"
BATCH_BYTES = 2 * 1024 * 1024
"""Size from which on a record batch is written."""
ROW = pa.field("row", pa.int64(), nullable=False)
OF_ONE_SIZE = {"vectors": pa.float32(), "image": pa.uint8()}
OTHERS = {
    "text": pa.string(),
    "audio": pa.list_(pa.int16()),
    "classes": pa.dictionary(pa.int32(), pa.string()),
    "numbers": pa.float32(),
    "tags": pa.list_(pa.int32()),
    "boxes": pa.list_(pa.float32()),
}
INNER: dict[str, list[int]] = {"boxes": [5]}
"""Shape of one value of a row of any length, where it is no single number."""


def split_file(split: str) -> str:
    return f"{split}.arrow"


def field(role: str, modality: str, shape: Sequence[int] = ()) -> pa.Field:
    """The column of a role; `shape` is `[W]` for vectors and `[H, W, C]` for images."""
    about = {"modality": modality, "shape": json.dumps(list(shape))}
    if modality in OF_ONE_SIZE:
        kind = pa.list_(OF_ONE_SIZE[modality], int(np.prod(shape)))
        return pa.field(role, kind, nullable=False, metadata=about)
    return pa.field(role, OTHERS[modality], metadata=about)


class Split:
    """One split; `read` gives views into the mapped file, which must not be written to."""

    def __init__(self, source: Path | IO[bytes]) -> None:
        """From a path, or from a file that has none."""
        mapped = pa.memory_map(str(source)) if isinstance(source, Path) else _mapped(source)
        self._reader = pa.ipc.open_file(mapped)
        roles = [field for field in self._reader.schema if field.name != ROW.name]
        self.modalities: dict[str, str] = {field.name: field.metadata[b"modality"].decode() for field in roles}
        """Of every role that the split has."""
        self._shapes: dict[str, list[int]] = {field.name: json.loads(field.metadata[b"shape"]) for field in roles}

    @property
    def batches(self) -> int:
        return int(self._reader.num_record_batches)

    @cached_property
    def sizes(self) -> list[int]:
        """Rows of each record batch."""
        return [self._reader.get_batch(number).num_rows for number in range(self.batches)]

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def stored(self, role: str, batch: int) -> pa.Array:
        """A role's column of a record batch, as Arrow has it."""
        return self._reader.get_batch(batch).column(column_of(role, self.modalities))

    def read(self, role: str, batch: int, rows: NDArray[np.int64] | None = None) -> Any:
        """A role's raw column of a record batch, or `rows` of it, as `app.ml.modalities` take it; of `row`, int64 [n].

        vectors float32 [n, W], image uint8 [n, H, W, C], text object [n] of str, classes object [n] of str or None
        (withheld; also where the split has no such role), numbers float32 [n] (NaN: withheld), audio, tags and boxes
        Ragged.
        """
        table, role = self._reader.get_batch(batch), column_of(role, self.modalities)
        if role not in table.schema.names:
            return np.full(table.num_rows if rows is None else len(rows), None, dtype=object)
        column, modality = table.column(role), self.modalities.get(role)
        if rows is not None:
            column = column.take(pa.array(rows))
        if modality in OF_ONE_SIZE:
            return _array(column.flatten()).reshape(len(column), *self._shapes[role])
        if modality == "classes":
            names = np.array([*column.dictionary.to_pylist(), None], dtype=object)
            return names[column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)]
        if modality == "text":
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
        if modality == "numbers":
            return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float32)
        if modality is None:
            return _array(column)
        return _ragged(column, INNER.get(modality, []))

    def present(self, role: str) -> NDArray[np.bool_]:
        """For every row of the split, whether it has this role."""
        role = column_of(role, self.modalities)
        if role not in self.modalities:
            return np.zeros(self.rows, dtype=np.bool_)
        withheld = role == "caption"  # an empty one; other texts are never empty
        if not withheld and self.modalities[role] not in ("classes", "numbers", "tags", "boxes"):
            return np.ones(self.rows, dtype=np.bool_)
        columns = [self._reader.get_batch(number).column(role) for number in range(self.batches)]
        there = [pc.match_substring_regex(column, r"\S") if withheld else column.is_valid() for column in columns]
        masks = [np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_) for mask in there]
        return np.concatenate([np.zeros(0, dtype=np.bool_), *masks])


class Rows(Protocol):
    """What gives rows piece by piece, as a `Split` does."""

    modalities: dict[str, str]

    @property
    def batches(self) -> int: ...

    @property
    def sizes(self) -> list[int]: ...

    @property
    def rows(self) -> int: ...

    def read(self, role: str, batch: int, rows: NDArray[np.int64] | None = None) -> Any: ...

    def present(self, role: str) -> NDArray[np.bool_]: ...


class Dataset:
    """What `dataset.json` says, and the splits by name."""

    def __init__(self, info: dict[str, Any], splits: Mapping[str, Rows]) -> None:
        self.info = info
        self.splits = splits

    @property
    def profile(self) -> dict[str, Any]:
        """With both sides of pairs, by `app.dataset_roles`."""
        return with_sides(self.info["profile"])


def open_dataset(files: Mapping[str, Path]) -> Dataset:
    """Opens a dataset from the paths of its objects, by their names.

    Raises ArtifactDamaged when one is absent, or not what the format says.
    """
    try:
        info = json.loads(files[INFO].read_bytes())
        if info.get("format") != FORMAT:
            raise ArtifactDamaged(f"the dataset has format {info.get('format')!r}; this version reads {FORMAT}")
        splits = {str(split): Split(files[split_file(split)]) for split in SPLITS}
    except KeyError as error:
        raise ArtifactDamaged(f"the dataset lacks {error.args[0]!r}") from None
    except (ValueError, pa.ArrowInvalid) as error:
        raise ArtifactDamaged(f"the dataset cannot be read: {error}") from error
    return Dataset(info, splits)


def _mapped(file: IO[bytes]) -> pa.Buffer:
    return pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _array(column: pa.Array) -> NDArray[Any]:
    return np.asarray(column.to_numpy(zero_copy_only=True))


def _ragged(column: pa.Array, inner: list[int]) -> Ragged:
    offsets = _array(column.offsets).astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    values = _array(column.values)[first:last].reshape(-1, *inner)
    return Ragged(values, (offsets - first) // int(np.prod(inner, dtype=np.int64)))
