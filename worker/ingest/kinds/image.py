"""Pictures of one size, as pixels."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest import values
from worker.ingest.faults import some
from worker.ingest.hashing import Hashes, hash_numbers
from worker.ingest.kinds.base import EVERY, Block, Kind, Mask, Rows, either
from worker.ingest.splits import Places
from worker.ingest.values import BRIGHTEST


class ImageKind(Kind):
    """Every value must be a whole number of 0 to 255."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._shades = np.zeros(BRIGHTEST + 1, np.int64)
        self._missing = 0

    def _read(self, block: Block) -> NDArray[Any]:
        """[n, H * W * C]"""
        return block.table.numbers(self.role, block.start, block.stop)

    def judge(self, block: Block) -> Mask | None:
        read = self._read(block)
        bad, wrong = values.judge(read, block.kept, image=True)
        drops = self.faults.drops
        out: Mask | None = None

        def origin(row: int, column: int) -> Any:
            return block.table.cell(self.role, block.start + row, column)

        if bad is not None:
            self._missing += int(bad.sum())
        for code, mask in (wrong if bad is None else {"non_finite": bad, **wrong}).items():
            dropped = drops or (code == "non_finite" and self.cleaning.non_finite == "drop")
            out = either(out, values.refuse(code, mask, read, self.faults, origin, dropped=dropped))
        return out

    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        return hash_numbers(values.convert(self._read(block)[rows], image=True))

    def column(self, block: Block, chosen: Mask) -> pa.Array:
        stored = values.convert(self._read(block)[chosen], image=True)
        self._shades += np.bincount(stored.reshape(-1), minlength=BRIGHTEST + 1)
        return pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), type=self.field().type)

    def facts(self, places: Places) -> dict[str, Any] | None:
        return {**(super().facts(places) or {}), "shape": self.part.shape, "scaled": self.part.scaled}

    def columns(self) -> list[dict[str, Any]]:
        (name, kind, _), *_ = self.tables[0].segments(self.role)
        width = int(np.prod(self.part.shape))
        described = self.described(name, kind if width == 1 else f"{kind}[{width}]", missing=self._missing)
        shades = np.flatnonzero(self._shades)
        if not len(shades):
            return [described]
        mean = float(np.average(shades, weights=self._shades[shades]))
        spread = float(np.sqrt(np.average((shades - mean) ** 2, weights=self._shades[shades])))
        return [described | {"min": float(shades[0]), "max": float(shades[-1]), "mean": mean, "std": spread}]

    def warnings(self, places: Places) -> list[str]:
        if np.count_nonzero(self._shades) == 1:
            return [f"1 columns have the same value in every row: {some(self.part.columns)}"]
        return []
