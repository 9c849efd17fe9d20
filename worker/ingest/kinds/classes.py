"""Names, of which there are few: labels, and the groups that keep rows together."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from worker.ingest.faults import some
from worker.ingest.kinds.base import Block, Kind, Mask
from worker.ingest.labels import in_order, no_names
from worker.ingest.source import Coded
from worker.ingest.splits import OUT, TRAIN, Places

CHUNK = 1 << 20
MANY = 0.5
"""Share of the labelled rows from which on so many classes look like something else."""


class ClassesKind(Kind):
    """Holds four bytes for every row."""

    is_content = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        columns = [table.plan.group if self.role == "group" else table.column(self.role) for table in self.tables]
        read = zip(self.tables, columns, strict=True)
        self.coded = in_order([table.names[name] if name else no_names(table.rows) for table, name in read])

    def judge(self, block: Block) -> Mask | None:
        return None

    def settle(self, kept: Mask) -> None:
        """A class whose rows were all left out is none."""
        present = np.zeros(len(self.coded.names) + 1, np.bool_)
        for start in range(0, len(kept), CHUNK):
            part = slice(start, start + CHUNK)
            present[self.coded.codes[part][kept[part]]] = True  # -1 finds the last one
        used = np.flatnonzero(present[:-1])
        if len(used) == len(self.coded.names):
            return
        table = np.full(len(present), -1, np.int32)
        table[used] = np.arange(len(used))
        self.coded = Coded([self.coded.names[code] for code in used], table[self.coded.codes])

    def column(self, block: Block, chosen: Mask) -> pa.Array:
        codes = self.coded.codes[block.overall : block.overall + block.rows][chosen]
        positions = pa.array(codes, mask=codes < 0)
        return pa.DictionaryArray.from_arrays(positions, pa.array(self.coded.names, pa.string()))

    def facts(self, places: Places) -> dict[str, Any] | None:
        if not self.coded.names:
            return None
        kept = places != OUT
        return {
            **(super().facts(places) or {}),
            "classes": self._count(kept),
            "missing": int((self.coded.codes[kept] < 0).sum()),
            "splits": {split: self._count(places == number) for number, split in enumerate(SPLITS)},
        }

    def columns(self) -> list[dict[str, Any]]:
        name = self.part.columns[0]
        head = next(stack.heads[name] for stack in self.tables[0].stacks if name in stack.heads)
        kind = "text" if head.is_text else str(head.dtype)
        missing = int((self.coded.codes < 0).sum())
        return [self.described(name, kind, missing=missing, distinct=len(self.coded.names))]

    def warnings(self, places: Places) -> list[str]:
        name, found = self.part.columns[0], []
        if not self.coded.names:
            return [f"every label in {name!r} is withheld; the dataset has no target"]
        labelled = int((self.coded.codes[places != OUT] >= 0).sum())
        if len(self.coded.names) > max(2, MANY * labelled):
            found.append(
                f"{name!r} has {len(self.coded.names):,} classes for {labelled:,} labelled rows; is it a label?"
            )
        unseen = [label for label, number in self._count(places == TRAIN).items() if number == 0]
        if unseen:
            found.append(f"no labelled row of the split train has the classes {some(unseen)}")
        return found

    def _count(self, rows: NDArray[np.bool_]) -> dict[str, int]:
        codes = self.coded.codes[rows]
        numbers = np.bincount(codes[codes >= 0], minlength=len(self.coded.names))
        return {name: int(number) for name, number in zip(self.coded.names, numbers, strict=True)}
