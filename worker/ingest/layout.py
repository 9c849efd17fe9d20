"""Makes one table of several stacks of files, by joining them side by side.

Knows no format and not what a column means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.planning.plan import Plan
from worker.ingest.source import Coded, Context
from worker.ingest.stacks import Origin, Stack
from worker.ingest.texts import Texts


@dataclass
class Joined:
    """Stacks of equal length, side by side."""

    stacks: list[Stack]
    plan: Plan
    names: dict[str, Coded] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return self.stacks[0].rows

    def column(self, role: str) -> str | None:
        """The (first) source column of a role; None where there is none here."""
        part = self.plan.parts.get(role)
        return part.columns[0] if part is not None else None

    def numbers(self, role: str, start: int, stop: int) -> NDArray[Any]:
        """[n, width]; a role of names alone has none."""
        parts = [stack.numbers(role, start, stop) for stack in self.stacks if role in stack.roles]
        if not parts:
            return np.zeros((stop - start, 0), np.float64)
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def rows_of(self, column: str, start: int, stop: int) -> Ragged:
        return next(stack for stack in self.stacks if column in stack.ragged).rows_of(column, start, stop)

    def texts(self, column: str, start: int, stop: int) -> Texts:
        return next(stack for stack in self.stacks if column in stack.ragged).texts(column, start, stop)

    def fitting(self, start: int, stop: int, most: int) -> int:
        for stack in self.stacks:
            stop = stack.fitting(start, stop, most)
        return stop

    def bad(self) -> NDArray[np.int64]:
        return np.unique(np.concatenate([stack.bad() for stack in self.stacks]))

    def release(self) -> None:
        for stack in self.stacks:
            stack.release()

    def segments(self, role: str) -> list[tuple[str, str, tuple[int, ...]]]:
        return [segment for stack in self.stacks if role in stack.roles for segment in stack.segments(role)]

    def origin(self, row: int, column: str) -> Origin:
        """Where the value at `row` came from."""
        return next(stack for stack in self.stacks if column in stack.heads).origin(row, column)

    def cell(self, role: str, row: int, position: int) -> Origin:
        """Where a number came from: `position` counts the role's numbers of a row; an array's has its place."""
        for name, _, shape in self.segments(role):
            width = prod(shape)
            if position < width:
                where = self.origin(row, name)
                place = ",".join(str(each) for each in np.unravel_index(position, shape)) if width > 1 else ""
                return replace(where, column=f"{name}[{place}]" if place else name)
            position -= width
        raise IndexError(position)


def join(stacks: Sequence[Stack], plan: Plan, context: Context, *, first: bool = False) -> Joined:
    """Reads the stacks that the plan needs, or their `first` rows; another length than the first's is a fault."""
    needed, inputs = set(plan.used()), set(next(iter(plan.parts.values())).columns)
    used = [stack for stack in stacks if needed & stack.heads.keys()]
    used.sort(key=lambda stack: not stack.heads.keys() & inputs)  # the input first: the others must match it
    joined = Joined(used, plan)
    for stack in used:
        stack.load(plan, context, first=first)
        joined.names |= stack.names
        if stack.rows != used[0].rows:
            context.faults.add(
                "length_mismatch",
                f"{stack.called} has {stack.rows:,} rows and {used[0].called} {used[0].rows:,}; "
                "files that are joined side by side must have the same number",
                file=stack.sources[0].file.id,
            )
    return joined
