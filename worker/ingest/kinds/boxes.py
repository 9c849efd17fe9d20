"""What lies where in a picture."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from worker.ingest.faults import counted, some
from worker.ingest.kinds.base import Block, Positions
from worker.ingest.kinds.ragged import RaggedKind, spread
from worker.ingest.splitting.splits import Places


class BoxesKind(RaggedKind):
    """A picture without boxes shows nothing, and stays."""

    is_content = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._labels: list[str] = self.part.about["labels"]
        self._counts = np.zeros(len(self._labels), np.int64)
        self._sides: list[Any] = []
        changed: Counter[str] = Counter()
        for stack in (stack for table in self.tables for stack in table.stacks):
            for source, head in zip(stack.sources, stack.heads_of(self.part.columns[0]), strict=False):
                changed.update(head.about["changed"])
                if head.about["labels"] != self._labels:
                    others, ours = some(head.about["labels"]), some(self._labels)
                    message = f"{source.file.name} has boxes of the classes {others}, and the first file of {ours}"
                    self.faults.add("categories_differ", message, file=source.file.id, column=self.part.columns[0])
        self.changed = dict(changed)

    def column(self, block: Block, rows: Positions) -> pa.Array:
        if self.is_withheld(block.table):
            return super().column(block, rows)
        boxes = self.read(block)[rows].flat
        self._counts += np.bincount(boxes[:, 0].astype(np.int64), minlength=len(self._counts))
        self._sides.append(np.sqrt((boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])))
        return super().column(block, rows)

    def facts(self, places: Places) -> dict[str, Any] | None:
        """`lengths` are boxes per picture; `sizes` square roots of their areas, in pixels of the stored pictures."""
        facts = super().facts(places) or {}
        facts.pop("changed")
        return {
            **facts,
            "sizes": spread(np.concatenate([np.zeros(0), *self._sides])),
            "classes": dict(zip(self._labels, self._counts.tolist(), strict=True)),
            **self.presence(places),
        }

    def warnings(self, places: Places) -> list[str]:
        found = []
        lengths = self.lengths()
        empty = int((lengths == 0).sum())
        if empty:
            found.append(f"{counted(empty, 'picture')} of {len(lengths):,} without a box")
        unseen = [label for label, count in zip(self._labels, self._counts, strict=True) if not count]
        if unseen:
            found.append(f"no picture has a box of the classes {some(unseen)}")
        return found
