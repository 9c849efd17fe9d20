"""Collects what is wrong with the data: where, under which code, in words that name the value. Knows no format."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from app.errors import InvalidData
from app.json_words import told

KEPT = 1000
"""Faults that are kept in full; beyond them only the count is true."""
SHOWN, NAMED = 80, 5


class Refused(Exception):
    """The data has faults, and what follows could not be told from their consequences."""


@dataclass(frozen=True)
class Fault:
    file: str | None
    """Id of the file."""
    row: int | None
    """Data row within the file, from 1; a header is none."""
    column: str | None
    code: str
    message: str


@dataclass
class Faults:
    """The first thousand faults and the first thousand rows that are left out, and the true counts."""

    total: int = 0
    kept: list[Fault] = field(default_factory=list)
    drops: bool = False
    """Whether a row that has a fault is left out instead of refused."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows that are left out, by code."""
    dropped_kept: list[Fault] = field(default_factory=list)
    cut_short: bool = False
    """Whether reading ended early, because enough faults were known."""

    def add(
        self,
        code: str,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.total += 1
        if len(self.kept) < KEPT:
            self.kept.append(Fault(file, row, column, code, message))

    def row(
        self, code: str, message: str, *, file: str | None = None, row: int | None = None, column: str | None = None
    ) -> None:
        """A fault of one row, for which the row is left out where that was asked for; the caller sees to that."""
        if self.drops:
            self.drop(code, message, file=file, row=row, column=column)
        else:
            self.add(code, message, file=file, row=row, column=column)

    def drop(
        self, code: str, message: str, *, file: str | None = None, row: int | None = None, column: str | None = None
    ) -> None:
        """A row that is left out, and why."""
        self.each(code, [Fault(file, row, column, code, message)], lambda fault: fault, dropped=True)

    def each(
        self, code: str, spots: Sequence[Any] | NDArray[Any], word: Callable[[Any], Fault], *, dropped: bool
    ) -> None:
        """What is wrong at each of the spots: faults, or rows that are left out. Those not kept are not worded."""
        if not len(spots):
            return
        kept = self.dropped_kept if dropped else self.kept
        kept += [word(spot) for spot in spots[: KEPT - len(kept)]]
        if dropped:
            self.dropped[code] += len(spots)
        else:
            self.total += len(spots)

    @property
    def full(self) -> bool:
        """Further faults are counted only, so that nobody needs to word them."""
        return len(self.kept) >= KEPT

    def count(self, number: int) -> None:
        """Adds faults that are not described, once `full`."""
        self.total += number

    def stop_here(self) -> None:
        """Raises Refused when there is a fault."""
        if self.total:
            raise Refused

    def report(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "faults": [asdict(fault) for fault in self.kept],
            "dropped_total": self.dropped.total(),
            "dropped": [asdict(fault) for fault in self.dropped_kept],
            "cut_short": self.cut_short,
        }

    def error(self) -> InvalidData:
        more = f" (and {self.total - 1:,} more; see the dataset's report)" if self.total > 1 else ""
        return InvalidData(f"{self.kept[0].message}{more}", param=self.kept[0].column)


def shown(value: object) -> str:
    """A value as it stands in a message, cut where it would fill the screen."""
    return told(value, SHOWN)


def counted(number: int, noun: str) -> str:
    """`1 row`, `1,000 rows`, `2 classes`."""
    ending = "" if number == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    listed = ", ".join(map(repr, names[:NAMED]))
    return f"{listed} and {len(names) - NAMED:,} more" if len(names) > NAMED else listed
