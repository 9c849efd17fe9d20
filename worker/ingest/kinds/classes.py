"""Names, of which there are few: labels, and the groups that keep rows together."""

import re
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from worker.ingest.faults import some
from worker.ingest.kinds.base import Block, Kind, Mask, Positions
from worker.ingest.labels import in_order, no_names
from worker.ingest.source import Coded
from worker.ingest.splitting.splits import TRAIN, Places

CHUNK = 1 << 20
MANY = 0.5
"""Share of the labelled rows from which on so many classes look like something else."""

GAPS = frozenset({"na", "n/a", "#n/a", "?", "-"})
"""What is a gap in a column of numbers may be a name, such as North America's; labels that are withheld are empty."""
SHOWN = 5
BETWEEN = re.compile(r"(?<=\w)[\s_-]+(?=\w)")


class ClassesKind(Kind):
    """Holds four bytes for every row."""

    is_content = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        columns = [table.plan.group if self.role == "group" else table.column(self.role) for table in self.tables]
        read = zip(self.tables, columns, strict=True)
        self.coded = in_order([table.names[name] if name else no_names(table.rows) for table, name in read])
        self._counts: NDArray[np.int64] | None = None

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

    def column(self, block: Block, rows: Positions) -> pa.Array:
        codes = self.coded.codes[block.overall + rows]
        positions = pa.array(codes, mask=codes < 0) if codes.min(initial=0) < 0 else pa.array(codes)
        return pa.DictionaryArray.from_arrays(positions, pa.array(self.coded.names, pa.string()))

    def facts(self, places: Places) -> dict[str, Any] | None:
        if not self.coded.names:
            return None
        counts = self._count(places)
        return {
            **(super().facts(places) or {}),
            "classes": self._named(counts.sum(axis=1)),
            "missing": int(counts[0].sum()),
            "splits": {split: self._named(counts[:, number]) for number, split in enumerate(SPLITS)},
        }

    def columns(self) -> list[dict[str, Any]]:
        name = self.part.columns[0]
        head = next(stack.heads[name] for stack in self.tables[0].stacks if name in stack.heads)
        kind = "text" if head.is_text else str(head.dtype)
        missing = int(np.count_nonzero(self.coded.codes < 0))
        return [self.described(name, kind, missing=missing, distinct=len(self.coded.names))]

    def warnings(self, places: Places) -> list[str]:
        name, found = self.part.columns[0], []
        if not self.coded.names:
            return [f"every label in {name!r} is withheld; the dataset has no target"]
        counts = self._count(places)
        labelled = int(counts[1:].sum())
        if len(self.coded.names) > max(2, MANY * labelled):
            found.append(
                f"{name!r} has {len(self.coded.names):,} classes for {labelled:,} labelled rows; is it a label?"
            )
        if self.role == "target" and len(self.coded.names) == 1:
            found.append(f"every labelled row of {name!r} has the class {self.coded.names[0]!r}: nothing to tell apart")
        if self.role == "target" and (gaps := [name for name in self.coded.names if name.casefold() in GAPS]):
            found.append(f"{some(gaps)} in {name!r} counts as a class; leave such cells empty if it means no label")
        found += [f"the classes {some(alike)} differ in spelling alone; are they one?" for alike in self._alike()]
        unseen = [label for label, number in self._named(counts[:, TRAIN]).items() if number == 0]
        if unseen:
            found.append(f"no labelled row of the split train has the classes {some(unseen)}")
        return found

    def _alike(self) -> list[list[str]]:
        """The first few sets of classes that only capitals and blanks, dashes or underscores between words tell apart.

        Single letters are none: small and capital ones are two of handwriting.
        """
        by_spelling: dict[str, list[str]] = {}
        for name in self.coded.names if self.role == "target" else ():
            by_spelling.setdefault(BETWEEN.sub(" ", name.casefold()), []).append(name)
        return [names for spelling, names in by_spelling.items() if len(names) > 1 and len(spelling) > 1][:SHOWN]

    def _count(self, places: Places) -> NDArray[np.int64]:
        """Rows of no class, and of every class behind them, by split: [1 + names, splits]."""
        if self._counts is None:
            shape = (1 + len(self.coded.names), 1 + len(SPLITS))  # either may be -1
            found = np.zeros(prod(shape), np.int64)
            for start in range(0, len(places), CHUNK):
                part = slice(start, start + CHUNK)
                cells = (self.coded.codes[part] + 1) * shape[1] + (places[part] + 1)
                found += np.bincount(cells, minlength=len(found))
            self._counts = found.reshape(shape)[:, 1:]
        return self._counts

    def _named(self, numbers: NDArray[np.int64]) -> dict[str, int]:
        return dict(zip(self.coded.names, numbers[1:].tolist(), strict=True))
