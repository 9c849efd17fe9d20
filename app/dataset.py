"""Opens an immutable dataset at a path: its profile, its splits, their record batches, memory-mapped.

Knows no storage, no registry and nothing of how a dataset is made; the names and the schema here bind both sides.
A split is an Arrow IPC file whose record batches are of equal size but for the last. Its columns:
`input` (FixedSizeList of float32 for vectors, of uint8 for images: H*W*C), `target` (dictionary<int32, string>, null
where the label is withheld; absent when no row has one) and `row` (int64, position in the source, from 0).
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from app.errors import ArtifactDamaged

FORMAT = 1
INFO = "dataset.json"
BATCH_BYTES = 4 * 1024 * 1024
"""Raw size of a record batch's `input`."""


def split_file(split: str) -> str:
    return f"{split}.arrow"


def schema(shape: Sequence[int], *, image: bool, labelled: bool) -> pa.Schema:
    """The columns of a split whose items have `shape`: `[W]` or `[H, W, C]`."""
    value = pa.uint8() if image else pa.float32()
    fields = [pa.field("input", pa.list_(value, int(np.prod(shape))), nullable=False)]
    if labelled:
        fields.append(pa.field("target", pa.dictionary(pa.int32(), pa.string())))
    fields.append(pa.field("row", pa.int64(), nullable=False))
    return pa.schema(fields, metadata={"shape": json.dumps(list(shape))})


class Split:
    """One split; `read` gives views into the mapped file, which must not be written to."""

    def __init__(self, path: Path) -> None:
        self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        self._shape: list[int] = json.loads(self._reader.schema.metadata[b"shape"])
        self._labelled = "target" in self._reader.schema.names

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

    def read(self, role: str, batch: int) -> NDArray[Any]:
        """A column of a record batch: input float32 [n, W] or uint8 [n, H, W, C], target object [n], row int64 [n].

        A target is its class's name, or None where it is withheld.
        """
        table = self._reader.get_batch(batch)
        if role == "target":
            return self._target(table)
        column = table.column(role)
        if role == "row":
            return np.asarray(column.to_numpy(zero_copy_only=True))
        return np.asarray(column.flatten().to_numpy(zero_copy_only=True)).reshape(table.num_rows, *self._shape)

    def present(self, role: str) -> NDArray[np.bool_]:
        """For every row of the split, whether it has this role."""
        if role != "target":
            return np.ones(self.rows, dtype=np.bool_)
        if not self._labelled:
            return np.zeros(self.rows, dtype=np.bool_)
        columns = [self._reader.get_batch(number).column("target") for number in range(self.batches)]
        masks = [np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_) for column in columns]
        return np.concatenate([np.zeros(0, dtype=np.bool_), *masks])

    def _target(self, table: pa.RecordBatch) -> NDArray[Any]:
        if not self._labelled:
            return np.full(table.num_rows, None, dtype=object)
        column = table.column("target")
        names = np.array([*column.dictionary.to_pylist(), None], dtype=object)
        codes = column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(names[codes], dtype=object)


class Dataset:
    """What `dataset.json` says, and the splits by name."""

    def __init__(self, info: dict[str, Any], splits: dict[str, Split]) -> None:
        self.info = info
        self.splits = splits

    @property
    def profile(self) -> dict[str, Any]:
        profile: dict[str, Any] = self.info["profile"]
        return profile


def open_dataset(files: Mapping[str, Path]) -> Dataset:
    """Opens a dataset from the paths of its objects, by their names.

    Raises ArtifactDamaged when one is absent, or not what the format says.
    """
    try:
        info = json.loads(files[INFO].read_bytes())
        splits = {str(split): Split(files[split_file(split)]) for split in SPLITS}
    except KeyError as error:
        raise ArtifactDamaged(f"the dataset lacks {error.args[0]!r}") from None
    except (ValueError, pa.ArrowInvalid) as error:
        raise ArtifactDamaged(f"the dataset cannot be read: {error}") from error
    if info.get("format") != FORMAT:
        raise ArtifactDamaged(f"the dataset has format {info.get('format')!r}; this version reads {FORMAT}")
    return Dataset(info, splits)
