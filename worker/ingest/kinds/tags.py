"""Several labels per row, in lists or with `|` between them in a column of texts."""

from collections import Counter
from typing import Any

import numpy as np

from app.ragged import Ragged
from worker.ingest.kinds.base import Block
from worker.ingest.kinds.ragged import RaggedKind, rows_of
from worker.ingest.labels import WITHHELD
from worker.ingest.splitting.splits import Places
from worker.ingest.stages import as_texts

BETWEEN = "|"
STEP = 1 << 16


class TagsKind(RaggedKind):
    """Tags are counted in one pass over the column before anything else; a row without any has none."""

    is_content = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._between: str = self.part.about.get("between", BETWEEN)
        self._counts: Counter[str] = Counter()
        for table in self.tables:
            for start in range(0, table.rows, STEP):
                rows = rows_of(table, self.role, start, min(start + STEP, table.rows))
                for tags in self._split(rows):
                    self._counts.update(tags)
        self._positions = {name: place for place, name in enumerate(sorted(self._counts))}

    def read(self, block: Block) -> Ragged:
        rows = self._split(super().read(block))
        return Ragged.of([np.array([self._positions[tag] for tag in tags], np.int32) for tags in rows])

    def facts(self, places: Places) -> dict[str, Any] | None:
        facts = super().facts(places) or {}
        facts.pop("between", None)
        return {
            **facts,
            "labels": list(self._positions),
            "classes": {name: self._counts[name] for name in self._positions},
            **self.presence(places),
        }

    def _split(self, rows: Ragged) -> list[list[str]]:
        """Every row's tags, each once."""
        found = []
        for text in as_texts(rows).to_pylist():
            tags = dict.fromkeys(tag.strip() for tag in text.split(self._between))
            found.append([tag for tag in tags if tag.casefold() not in WITHHELD])
        return found
