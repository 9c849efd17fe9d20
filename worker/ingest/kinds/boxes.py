"""What lies where in a picture."""

from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from app.dataset_options import SPLITS
from worker.ingest.kinds.base import Block, Mask
from worker.ingest.kinds.ragged import RaggedKind
from worker.ingest.splits import Places


class BoxesKind(RaggedKind):
    """`about` brings the names of the classes; a picture without boxes shows nothing, and stays."""

    is_content: ClassVar[bool] = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._counts = np.zeros(len(self.part.about["names"]), np.int64)

    def column(self, block: Block, chosen: Mask) -> pa.Array:
        rows = self.read(block)[chosen]
        held = rows.values[rows.offsets[0] : rows.offsets[-1], 0].astype(np.int64)
        self._counts += np.bincount(held, minlength=len(self._counts))
        return super().column(block, chosen)

    def facts(self, places: Places) -> dict[str, Any] | None:
        facts = super().facts(places) or {}
        names = facts.pop("names")
        return {
            **facts,
            "classes": dict(zip(names, self._counts.tolist(), strict=True)),
            "missing": 0,
            "splits": {split: int((places == number).sum()) for number, split in enumerate(SPLITS)},
        }
