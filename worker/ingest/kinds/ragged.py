"""What recordings, boxes and tags have in common: rows of any length, stored as lists. No kind by itself."""

from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

from app.dataset import INNER
from app.dataset_options import SPLITS
from app.ragged import Ragged
from worker.ingest.kinds.base import EVERY, Block, Kind, Mask, Positions, Rows
from worker.ingest.layout import Joined
from worker.ingest.splitting.hashing import Hashes, hash_bytes
from worker.ingest.splitting.splits import OUT, Places


class RaggedKind(Kind):
    """Knows the lengths of all rows that stay."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._inner = prod(INNER.get(self.part.modality, []))
        self._lengths: list[Any] = []

    def read(self, block: Block) -> Ragged:
        """[n]"""
        return rows_of(block.table, self.role, block.start, block.stop)

    def judge(self, block: Block) -> Mask | None:
        return None

    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        held = self.read(block)
        values = np.ascontiguousarray(held.flat).view(np.uint8).reshape(-1)
        offsets = (held.offsets - held.offsets[0]) * held.values[:1].nbytes
        return hash_bytes(values, offsets[:-1][rows], offsets[1:][rows])

    def column(self, block: Block, rows: Positions) -> pa.Array:
        if self.is_withheld(block.table):
            return pa.nulls(len(rows), self.field().type)
        found = self.read(block)[rows]
        self._lengths.append(found.lengths.astype(np.int32))
        values = np.ascontiguousarray(found.flat).reshape(-1)
        offsets = ((found.offsets - found.offsets[0]) * self._inner).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=self.field().type)

    def is_withheld(self, table: Joined) -> bool:
        """Whether the files of a table lack the role: targets of a test split are often secret."""
        return table.column(self.role) is None

    def presence(self, places: Places) -> dict[str, Any]:
        """Rows without the role, and those with it by split."""
        there = np.concatenate([np.full(table.rows, not self.is_withheld(table)) for table in self.tables])
        return {
            "missing": int((~there & (places != OUT)).sum()),
            "splits": {split: int((there & (places == number)).sum()) for number, split in enumerate(SPLITS)},
        }

    def lengths(self) -> Any:
        """Of all rows that stay and have the role, int32 [N], in no particular order."""
        return np.concatenate([np.zeros(0, np.int32), *self._lengths])

    def facts(self, places: Places) -> dict[str, Any] | None:
        return {**(super().facts(places) or {}), "lengths": spread(self.lengths())}

    def columns(self) -> list[dict[str, Any]]:
        return [self.described(self.part.columns[0], self.part.modality, missing=0)]


def rows_of(table: Joined, role: str, start: int, stop: int) -> Ragged:
    """Rows `start` to `stop` of a role's column; empty ones where the table has none."""
    name = table.column(role)
    if name is None:
        return Ragged(np.zeros(0, np.uint8), np.zeros(stop - start + 1, np.int64))
    return table.rows_of(name, start, stop)


def spread(lengths: Any) -> dict[str, float]:
    """Smallest, median, 99th percentile, largest and mean of lengths; nothing of none."""
    if not len(lengths):
        return {}
    low, middle, most, high = np.quantile(lengths, [0, 0.5, 0.99, 1])
    return {
        "min": float(low),
        "median": float(middle),
        "p99": float(most),
        "max": float(high),
        "mean": float(np.mean(lengths)),
    }
