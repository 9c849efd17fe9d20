"""Collects what is wrong with the data: where, under which code, in words that name the value. Knows no format."""

from dataclasses import asdict, dataclass, field
from typing import Any

from app.errors import InvalidData

KEPT = 1000
"""Faults that are kept in full; beyond them only the count is true."""
SHOWN = 80


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
    """The first thousand faults, and the true count."""

    total: int = 0
    kept: list[Fault] = field(default_factory=list)

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
        return {"total": self.total, "faults": [asdict(fault) for fault in self.kept]}

    def error(self) -> InvalidData:
        more = f" (and {self.total - 1:,} more; see the dataset's report)" if self.total > 1 else ""
        return InvalidData(f"{self.kept[0].message}{more}", param=self.kept[0].column)


def shown(value: object) -> str:
    """A value as it stands in a message, cut where it would fill the screen."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
