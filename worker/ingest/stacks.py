"""Files with the same columns, one below the other, and where each of their values came from.

Knows no format and not what a column means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.faults import Fault, Faults
from worker.ingest.labels import in_order
from worker.ingest.planning.plan import Plan
from worker.ingest.source import Coded, Context, Head, Input, Loaded, Source
from worker.ingest.texts import Texts, joined


@dataclass(frozen=True)
class Origin:
    """Where a value came from."""

    file: Input
    row: int
    """From 1."""
    column: str | None
    """None where the whole row is meant."""
    called: str = ""
    """Its file in the archive."""

    def fault(self, code: str, problem: str) -> Fault:
        """What is wrong here."""
        where = f"{self.file.name}, row {self.row:,}{f', {self.called}' if self.called else ''}"
        named = f", column {self.column!r}" if self.column is not None else ""
        return Fault(self.file.id, self.row, self.column, code, f"{where}{named}: {problem}")


class Stack:
    """Files with the same columns, one below the other."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        self.heads = {head.name: head for head in sources[0].heads}
        self.roles: list[str] = []
        """That take numbers from here."""
        self.names: dict[str, Coded] = {}
        self.ragged: list[str] = []
        self._loaded: list[Loaded] = []
        self._starts: list[int] = [0]

    @property
    def rows(self) -> int:
        return self._starts[-1]

    @property
    def called(self) -> str:
        return " + ".join(source.file.name for source in self.sources)

    def load(self, plan: Plan, context: Context, *, first: bool = False) -> None:
        """Reads what the plan needs from here."""
        self.roles, wanted = plan.wanted(self.heads)
        wanted = replace(wanted, first=first)
        self.ragged = list(wanted.ragged)
        for source in self.sources[1:]:
            for head in source.heads:
                above = self.heads[head.name]
                if head.name in wanted.columns and (head.shape, head.ragged) != (above.shape, above.ragged):
                    context.faults.add(
                        "shapes_differ",
                        f"{source.file.name}: {head.name!r} has {list(head.shape)} per row, "
                        f"{list(above.shape)} in {self.sources[0].file.name}",
                        file=source.file.id,
                        column=head.name,
                    )
        self._loaded = [source.load(wanted, context) for source in self.sources]
        self._starts = list(accumulate((loaded.rows for loaded in self._loaded), initial=0))
        self.names = {name: in_order([loaded.names.pop(name) for loaded in self._loaded]) for name in wanted.names}

    def numbers(self, role: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of a role's numbers, flat: [n, width]."""
        place = self.roles.index(role)
        parts = []
        for loaded, first, last in self._within(start, stop):
            columns = [part.values[first:last].reshape(last - first, -1) for part in loaded.numbers[place]]
            parts.append(columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def rows_of(self, column: str, start: int, stop: int) -> Ragged:
        """Rows `start` to `stop` of a column whose rows differ in length."""
        parts = [loaded.ragged[column].read(first, last) for loaded, first, last in self._within(start, stop)]
        if len(parts) == 1:
            return parts[0]
        values = [part.values[part.offsets[0] : part.offsets[-1]] for part in parts]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))])
        return Ragged(np.concatenate(values), offsets.astype(np.int64))

    def texts(self, column: str, start: int, stop: int) -> Texts:
        """Rows `start` to `stop` of a column of texts."""
        return joined([loaded.ragged[column].texts(first, last) for loaded, first, last in self._within(start, stop)])

    def fitting(self, start: int, stop: int, most: int) -> int:
        """The last of rows `start` to `stop` up to which none of the columns of any length takes more than `most`
        bytes; one row at least."""
        for column in self.ragged:
            reached, left = start, most
            for loaded, first, last in self._within(start, stop):
                within, size = loaded.ragged[column].fitting(first, last, left)
                reached, left = reached + within - first, left - size
                if within < last:
                    break
            stop = max(start + 1, reached)
        return stop

    def heads_of(self, column: str) -> list[Head]:
        """What every file says of a column."""
        return [head for source in self.sources for head in source.heads if head.name == column]

    def bad(self) -> NDArray[np.int64]:
        """Rows that have a fault for which they are left out."""
        parts = [np.array(each.bad, np.int64) + start for each, start in zip(self._loaded, self._starts, strict=False)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def release(self) -> None:
        for loaded in self._loaded:
            for parts in loaded.numbers:
                for part in parts:
                    part.release()
            for mapped in loaded.ragged.values():
                mapped.release()

    def origin(self, row: int, column: str) -> Origin:
        number = next(n for n, stop in enumerate(self._starts[1:]) if row < stop)
        loaded, row = self._loaded[number], row - self._starts[number]
        return Origin(
            self.sources[number].file, loaded.file_row(row), column, loaded.called[row] if loaded.called else ""
        )

    def segments(self, role: str) -> list[tuple[str, str, tuple[int, ...]]]:
        """Name, type and shape of every column of a role's numbers: an array is one, however wide."""
        found: list[tuple[str, str, tuple[int, ...]]] = []
        for part in self._loaded[0].numbers[self.roles.index(role)]:
            shape = () if len(part.names) > 1 else part.values.shape[1:]
            found += [(name, str(self.heads[name].dtype), shape) for name in part.names]
        return found

    def _within(self, start: int, stop: int) -> list[tuple[Loaded, int, int]]:
        """The files that have a part of these rows, and which of their own rows those are."""
        found = []
        for begin, loaded in zip(self._starts[:-1], self._loaded, strict=True):
            first, last = max(start - begin, 0), min(stop - begin, loaded.rows)
            if first < last:
                found.append((loaded, first, last))
        return found


def stack_sources(sources: Sequence[Source], faults: Faults) -> list[Stack]:
    """Groups files by the names of their columns."""
    groups: dict[frozenset[str], list[Source]] = {}
    for source in sources:
        groups.setdefault(frozenset(head.name for head in source.heads), []).append(source)
    stacks = [Stack(group) for group in groups.values()]
    for number, stack in enumerate(stacks):
        for other in stacks[:number]:
            both = sorted(stack.heads.keys() & other.heads.keys())
            if both:
                faults.add(
                    "columns_differ",
                    f"{other.called} and {stack.called} both have {both[0]!r} and differ in other columns: files to be "
                    f"stacked need the same columns ({sorted(other.heads)} and {sorted(stack.heads)}), "
                    "files to be joined none in common",
                    file=stack.sources[0].file.id,
                    column=both[0],
                )
    return stacks


def heads_of(stacks: Sequence[Stack]) -> list[Head]:
    return [head for stack in stacks for head in stack.heads.values()]
