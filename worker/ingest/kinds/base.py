"""The contract of a kind: what becomes of one role's column on its way from the files into the splits.

One file per modality. A kind judges every block of rows first; once it is known which rows stay, it gives them block by
block as Arrow columns, and describes itself at the end. Knows no format and no split file.
Legend: `n` rows of a block.
"""

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app import dataset
from app.dataset_options import PLAYS, DatasetOptions
from worker.ingest.faults import Faults
from worker.ingest.layout import Joined
from worker.ingest.planning.plan import Part
from worker.ingest.splitting.hashing import Hashes
from worker.ingest.splitting.splits import Places
from worker.ingest.stacks import Origin

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]
Rows = Positions | slice
EVERY = slice(None)


@dataclass(frozen=True, eq=False)
class Block:
    """Rows `start` to `stop` of a table; the first of them is row `overall` of the dataset's source."""

    table: Joined
    start: int
    stop: int
    overall: int
    kept: Mask
    """[n], False for rows that are left out already: they have no further faults."""
    held: dict[str, Any] = field(default_factory=dict)
    """What kinds keep of the block while it is in work, by role."""

    @property
    def rows(self) -> int:
        return self.stop - self.start


class Kind:
    """One role while the dataset is made."""

    is_content: bool = True
    """Whether it tells one item from another: labels do not."""
    is_sketched: bool = False
    """Whether its sketch is cheaper than its hash, and tells less."""

    def __init__(
        self, role: str, part: Part, tables: Sequence[Joined], options: DatasetOptions, faults: Faults
    ) -> None:
        self.role, self.part, self.tables, self.faults = role, part, tables, faults
        self.options, self.cleaning = options, options.cleaning
        self.changed: dict[str, int] = {}
        """What cleaning did to how many items, by code."""

    @abstractmethod
    def judge(self, block: Block) -> Mask | None:
        """Adds the block's faults; which of its rows [n] are to be left out, None for none of them."""

    @abstractmethod
    def hashes(self, block: Block, rows: Rows = EVERY) -> Hashes:
        """What is equal for equal items and for no others, [n] or of `rows`; asked of content only, on another thread
        and before its faults are known."""

    def sketch(self, block: Block) -> Hashes:
        """What is equal for equal items, [n], and may be for others where `is_sketched`."""
        return self.hashes(block)

    @abstractmethod
    def column(self, block: Block, rows: Positions) -> pa.Array:
        """The rows at these positions of the block, ascending, as they are stored."""

    def settle(self, kept: Mask) -> None:
        """Called between judging and giving, with the rows of the whole source that stay."""

    def field(self) -> pa.Field:
        """The column's place in the split's schema; asked after `settle`."""
        return dataset.field(self.role, self.part.modality, self.part.shape)

    def facts(self, places: Places) -> dict[str, Any] | None:
        """What the profile says of the role; None where nothing of it is there. Asked at the end."""
        name = self.part.columns[0] if len(self.part.columns) == 1 else "features"
        return {"name": name, "modality": self.part.modality, **self.part.about}

    @abstractmethod
    def columns(self) -> list[dict[str, Any]]:
        """What the profile says of every source column. Asked at the end."""

    def warnings(self, places: Places) -> list[str]:
        """What a careful practitioner would point out."""
        return []

    def described(self, name: str, kind: str, *, missing: int | None, **more: Any) -> dict[str, Any]:
        """A source column's entry in the profile; the keys of numbers are null where it holds none."""
        nothing = dict.fromkeys(("min", "max", "mean", "std"))
        return {
            "name": name,
            "plays": PLAYS.get(self.role, self.role),
            "type": kind,
            "missing": missing,
            **nothing,
            **more,
        }

    def treat(
        self, code: str, rows: Mask, block: Block, problem: str, policy: Literal["drop", "fault"], remedy: str = ""
    ) -> Mask | None:
        """Rows [n] of a block that are left out, or refused with the remedy; those that are to be left out."""
        rows = rows & block.kept
        dropped = policy == "drop" or self.faults.drops
        said = problem if dropped else problem + remedy
        self.faults.each(
            code, np.flatnonzero(rows), lambda row: self.origin(block, int(row)).fault(code, said), dropped=dropped
        )
        return rows if dropped and rows.any() else None

    def origin(self, block: Block, row: int) -> Origin:
        return block.table.origin(block.start + row, block.table.column(self.role) or self.part.columns[0])


def either(one: Mask | None, other: Mask | None) -> Mask | None:
    """Rows that are in one of the two."""
    return other if one is None else one if other is None else one | other


def make(role: str, part: Part, tables: Sequence[Joined], options: DatasetOptions, faults: Faults) -> Kind:
    """The kind of a role's modality: the class of that name in the file of that name."""
    module = importlib.import_module(f"worker.ingest.kinds.{part.modality}")
    found: Kind = getattr(module, f"{part.modality.capitalize()}Kind")(role, part, tables, options, faults)
    return found
