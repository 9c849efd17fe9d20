"""Rows of numbers and of categories; of the latter, positions among their names are stored, NaN where there is none."""

from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset import field
from worker.ingest.faults import counted, some
from worker.ingest.kinds import values
from worker.ingest.kinds.base import EVERY, Block, Kind, Mask, Positions, Rows, either
from worker.ingest.kinds.statistics import Moments
from worker.ingest.labels import in_order
from worker.ingest.splitting.hashing import Hashes, hash_numbers, sketch_numbers
from worker.ingest.splitting.splits import OUT, Places

TELLING = 0.5
"""Different names per row from which on a column of names only tells rows apart."""
CONSTANT = 0.999
"""Share of the rows with one value from which on a column counts as constant."""

MOST_NAMED = 256
"""Columns of numbers up to which a model knows them by their names; more are pixels and the like."""


class VectorsKind(Kind):
    """Knows every column's statistics once all rows have passed."""

    is_sketched = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        parts = [table.plan.parts[self.role] for table in self.tables]
        self._coded = {
            name: in_order([t.names[part.categories[place]] for t, part in zip(self.tables, parts, strict=True)])
            for place, name in enumerate(self.part.categories)
        }
        self._segments = self._plan_segments()
        self._moments = Moments.nothing(self.width)
        """Of all rows that were judged; of those that stay once it is known that others do not."""
        self._counts_again = False
        self._missing = np.zeros(self.width, np.int64)
        self._common: NDArray[Any] | None = None
        self._equal, self._judged = np.zeros(self.width, np.int64), 0
        self._all_vary = False
        self._kept_columns: NDArray[np.int64] | None = None

    @property
    def width(self) -> int:
        return sum(width for _, _, width in self._segments)

    def _plan_segments(self) -> list[tuple[str, str, int]]:
        """Name, type and width of every column, numbers first and categories behind them."""
        numbers = [(name, kind, prod(shape)) for name, kind, shape in self.tables[0].segments(self.role)]
        return [*numbers, *((name, "category", 1) for name in self.part.categories)]

    def _read(self, block: Block) -> NDArray[Any]:
        """[n, W]"""
        numbers = block.table.numbers(self.role, block.start, block.stop)
        if not self._coded:
            return numbers
        here = slice(block.overall, block.overall + block.rows)
        codes = np.stack([coded.codes[here] for coded in self._coded.values()], axis=1).astype(np.float64)
        codes[codes < 0] = np.nan
        return np.concatenate([numbers, codes], axis=1)

    def judge(self, block: Block) -> Mask | None:
        read = self._read(block)
        numbers = read[:, : self.width - len(self._coded)]
        bad, wrong = values.judge(numbers, block.kept, image=False)
        out: Mask | None = None

        def origin(row: int, column: int) -> Any:
            return block.table.cell(self.role, block.start + row, column)

        if bad is not None:
            self._missing[: numbers.shape[1]] += bad.sum(axis=0)
            policy, drops = self.cleaning.non_finite, self.faults.drops
            if policy != "impute":
                out = values.refuse("non_finite", bad, numbers, self.faults, origin, dropped=policy == "drop" or drops)
        for code, mask in wrong.items():
            out = either(out, values.refuse(code, mask, numbers, self.faults, origin, dropped=self.faults.drops))
        for place in range(len(self._coded)):
            self._missing[numbers.shape[1] + place] += int(np.isnan(read[:, numbers.shape[1] + place]).sum())
        self._count_common(read)
        with np.errstate(all="ignore"):  # infinities: the rows that have them do not stay
            self._moments.merge(self._moments_of(block))
        return out

    def _count_common(self, read: NDArray[Any]) -> None:
        """Counts until no column can be nearly constant any more: of most tables, in one block."""
        if self._all_vary:
            return
        if self._common is None:
            middle = np.sort(read[:101], axis=0)
            self._common = middle[len(middle) // 2]
        self._equal += (read == self._common).sum(axis=0)
        self._judged += len(read)
        most = (1 - CONSTANT) * sum(table.rows for table in self.tables)
        self._all_vary = bool((self._judged - self._equal > most).all())

    def _moments_of(self, block: Block) -> Moments:
        """Of all its rows."""
        if self.role not in block.held:
            block.held[self.role] = Moments.of(self._with_gaps(self._read(block)))
        found: Moments = block.held[self.role]
        return found

    def _with_gaps(self, rows: NDArray[Any]) -> NDArray[Any]:
        """NaN for all that is not finite, where that may be."""
        gaps = self.cleaning.non_finite == "impute" or bool(self._coded)
        return np.where(np.isfinite(rows), rows, np.nan) if gaps else rows

    def sketch(self, block: Block) -> Hashes:
        self._moments_of(block)  # here, as several threads do this
        return sketch_numbers(values.convert(self._read(block), image=False))

    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        return hash_numbers(values.convert(self._read(block)[rows], image=False))

    def settle(self, kept: Mask) -> None:
        self._counts_again = not kept.all()
        if self._counts_again:
            self._moments = Moments.nothing(self.width)
        if self.cleaning.constant != "drop":
            return
        keep = np.flatnonzero(self._equal < CONSTANT * self._judged)
        if 0 < len(keep) < self.width:
            self._kept_columns = keep
            self.changed["constant_columns"] = self.width - len(keep)
            self.part.shape = [len(keep)]
            self.part.about.pop("channels", None)  # steps are no longer all alike

    def field(self) -> pa.Field:
        return field(self.role, "vectors", self.part.shape)

    def column(self, block: Block, rows: Positions) -> pa.Array:
        if self._counts_again:
            self._moments.add(self._with_gaps(self._read(block).take(rows, axis=0)))
        if self.role not in block.held:
            block.held[self.role] = self._stored(block)
        stored = block.held[self.role].take(rows, axis=0)  # many times as fast as indexing
        return pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), type=self.field().type)

    def _stored(self, block: Block) -> NDArray[np.float32]:
        """[n, W] of the columns that are kept."""
        rows = self._with_gaps(self._read(block))
        with np.errstate(all="ignore"):  # what does not fit float32 is in no row that stays
            return values.convert(rows if self._kept_columns is None else rows[:, self._kept_columns], image=False)

    def facts(self, places: Places) -> dict[str, Any] | None:
        facts = {**(super().facts(places) or {}), "shape": self.part.shape}
        gaps = self.cleaning.non_finite == "impute" and bool(self._missing.any())
        if self._coded or gaps:
            facts["columns"] = self._kinds()
            facts["gaps"] = gaps
            facts.pop("channels", None)
        elif self.width <= MOST_NAMED and all(width == 1 for _, _, width in self._segments):
            facts["names"] = [column["name"] for column in self._kinds()]
        return facts

    def _kinds(self) -> list[dict[str, Any]]:
        """Name and kind of every stored number, with the names of a category."""
        found: list[dict[str, Any]] = []
        for name, _, width in self._segments:
            if name in self._coded:
                found.append({"name": name, "kind": "category", "categories": self._coded[name].names})
            else:
                found += [{"name": name if width == 1 else f"{name}[{n}]", "kind": "number"} for n in range(width)]
        return found if self._kept_columns is None else [found[place] for place in self._kept_columns]

    def columns(self) -> list[dict[str, Any]]:
        columns, start = [], 0
        for name, kind, width in self._segments:
            missing = int(self._missing[start : start + width].sum())
            if name in self._coded:
                columns.append(self.described(name, kind, missing=missing, distinct=len(self._coded[name].names)))
            else:
                moments = self._moments if width == 1 else self._moments.part(start, start + width).whole()
                shown = kind if width == 1 else f"{kind}[{width}]"
                found = moments.described(start if width == 1 else 0)
                columns.append(self.described(name, shown, missing=missing) | found)
            start += width
        return columns

    def warnings(self, places: Places) -> list[str]:
        names = np.array([name for name, _, _ in self._segments], dtype=object)
        widths = np.array([width for _, _, width in self._segments], np.int64)
        starts = np.cumsum(widths) - widths
        there = np.add.reduceat(self._moments.count, starts) > 0
        alike = np.minimum.reduceat(self._moments.low, starts) == np.maximum.reduceat(self._moments.high, starts)
        common = (widths == 1) & (self._equal[starts] >= CONSTANT * self._judged)
        empty, constant, nearly = (names[of].tolist() for of in (~there, there & alike, there & ~alike & common))
        found = []
        if constant:
            found.append(f"{counted(len(constant), 'column')} with the same value in every row: {some(constant)}")
        if empty:
            found.append(f"{counted(len(empty), 'column')} empty in every row: {some(empty)}")
        if nearly and self.cleaning.constant == "keep":
            found.append(
                f"{counted(len(nearly), 'column')} with one value in at least 999 of 1,000 rows: {some(nearly)}; "
                "cleaning.constant leaves them out"
            )
        rows = int((places != OUT).sum())
        telling = [name for name, coded in self._coded.items() if len(coded.names) > max(2, TELLING * rows)]
        if telling:
            found.append(
                f"more than one name for every two rows: {some(telling)}; a network cannot learn from names that it "
                "sees once. Numbers have to be written without units"
            )
        return found
