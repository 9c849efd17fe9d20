"""One number per row: a value to be predicted, or a row's weight."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset_options import SPLITS
from worker.ingest.kinds.base import Block, Kind, Mask, Positions
from worker.ingest.kinds.statistics import Moments
from worker.ingest.splitting.splits import OUT, Places


class NumbersKind(Kind):
    """NaN is a value withheld; an infinity is a fault."""

    is_content = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._moments = Moments.nothing(1)
        self._present = np.zeros(sum(table.rows for table in self.tables), np.bool_)

    def _read(self, block: Block) -> NDArray[np.float64]:
        """[n]"""
        if not any(self.role in stack.roles for stack in block.table.stacks):
            return np.full(block.rows, np.nan)
        return block.table.numbers(self.role, block.start, block.stop)[:, 0].astype(np.float64)

    def judge(self, block: Block) -> Mask | None:
        read = self._read(block)
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = read.astype(np.float32)
        wrong = np.isinf(narrow)
        problem = "is no number that fits float32; leave the cell empty to withhold it"
        if self.role == "weight":
            wrong = ~(np.isfinite(narrow) & (narrow >= 0))
            problem = "is no weight: a number of at least 0"
        self._present[block.overall : block.overall + block.rows] = np.isfinite(narrow)
        return self.treat("not_a_number", wrong, block, problem, "fault")

    def column(self, block: Block, rows: Positions) -> pa.Array:
        read = self._read(block)[rows].astype(np.float32)
        self._moments.add(read[np.isfinite(read)][:, None])
        return pa.array(read, mask=np.isnan(read))

    def facts(self, places: Places) -> dict[str, Any] | None:
        present = self._present & (places != OUT)
        if not present.any():
            return None
        return {
            **(super().facts(places) or {}),
            **self._moments.described(0),
            "missing": int((places != OUT).sum() - present.sum()),
            "splits": {split: int((present & (places == number)).sum()) for number, split in enumerate(SPLITS)},
        }

    def columns(self) -> list[dict[str, Any]]:
        described = self.described(self.part.columns[0], "float32", missing=int((~self._present).sum()))
        return [described | self._moments.described(0)]
