"""Pictures of one size, as pixels."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.faults import some
from worker.ingest.kinds import values
from worker.ingest.kinds.base import EVERY, Block, Kind, Mask, Positions, Rows, either
from worker.ingest.kinds.values import BRIGHTEST
from worker.ingest.layout import Joined
from worker.ingest.source import LOOKED_AT, SMALLEST
from worker.ingest.splitting.hashing import Hashes, hash_numbers, sketch_numbers
from worker.ingest.splitting.splits import Places

COLOURS = 3


class ImageKind(Kind):
    """Every value must be a whole number of 0 to 255, or all of them fractions of 0 to 1, or of -1 to 1."""

    is_sketched = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._shades = np.zeros(BRIGHTEST + 1, np.int64)
        self._missing = 0
        found = [self._find_black(table) for table in self.tables]
        known = [black for black in found if black is not None]
        self._black = min(known) if len(known) == len(found) else None
        if self._black is not None:
            self.tables[0].plan.inferred["brightness"] = f"fractions of {self._black} to 1, which became 0 to 255"

    def _find_black(self, table: Joined) -> int | None:
        """What is black where 1 is white; None for whole numbers. Without colours, -1 to 1 may be any measurement."""
        first = table.numbers(self.role, 0, min(LOOKED_AT, table.rows))
        known = first[np.isfinite(first)] if first.dtype.kind == "f" else first[:0]
        asked = self.options.modality == "image"
        likely = asked or min(self.part.shape[:2]) >= SMALLEST
        if not likely or not len(known) or not 0 < known.max() <= 1 or known.min() < -1:
            return None
        if known.min() >= 0:
            return 0
        return -1 if asked or self.part.shape[2] == COLOURS else None

    def _scaled(self, read: NDArray[Any]) -> NDArray[Any]:
        """As pixels; what lies outside is no pixel afterwards either."""
        return read if self._black is None else np.rint((read - self._black) * (BRIGHTEST / (1 - self._black)))

    def _read(self, block: Block) -> NDArray[Any]:
        """[n, H * W * C]"""
        return block.table.numbers(self.role, block.start, block.stop)

    def judge(self, block: Block) -> Mask | None:
        read = self._read(block)
        bad, wrong = values.judge(self._scaled(read), block.kept, image=True)
        if self._black is not None and "not_a_pixel" in wrong:
            wrong = {"not_a_fraction": wrong["not_a_pixel"]}
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

    def sketch(self, block: Block) -> Hashes:
        return sketch_numbers(self._stored(self._read(block)))

    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        return hash_numbers(self._stored(self._read(block)[rows]))

    def column(self, block: Block, rows: Positions) -> pa.Array:
        stored = self._stored(self._read(block).take(rows, axis=0))
        self._shades += np.bincount(stored.reshape(-1), minlength=BRIGHTEST + 1)
        return pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), type=self.field().type)

    def _stored(self, read: NDArray[Any]) -> NDArray[np.uint8]:
        """[n, H * W * C] of what was read, whatever the order of its axes."""
        read = self._scaled(read)
        if self.part.channels_first:
            height, width, channels = self.part.shape
            read = read.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(read.shape)
        return values.convert(read, image=True)

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
            return [f"1 column with the same value in every row: {some(self.part.columns)}"]
        return []
