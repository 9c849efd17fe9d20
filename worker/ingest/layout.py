"""Makes one table of several files: those with the same columns are stacked, those with others are joined side by side.

Knows no format and not what a column means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

import numpy as np
from numpy.typing import NDArray

from worker.ingest.columns import Plan
from worker.ingest.faults import Faults
from worker.ingest.labels import in_order
from worker.ingest.source import Coded, Context, Head, Input, Loaded, Source


@dataclass(frozen=True)
class Origin:
    """Where a value came from."""

    file: Input
    row: int
    """From 1."""
    column: str


class Stack:
    """Files with the same columns, one below the other."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        self.heads = {head.name: head for head in sources[0].heads}
        self._loaded: list[Loaded] = []
        self._starts: list[int] = [0]
        self.width = 0

    @property
    def rows(self) -> int:
        return self._starts[-1]

    @property
    def names(self) -> str:
        return " + ".join(source.file.name for source in self.sources)

    def load(self, plan: Plan, context: Context) -> dict[str, Coded]:
        """Reads what the plan needs from here; returns the columns of names."""
        numbers = [name for name in plan.features if name in self.heads]
        texts = [name for name in (plan.label, plan.split) if name in self.heads and name is not None]
        shapes = {name: self.heads[name].shape for name in numbers}
        for source in self.sources[1:]:
            for head in source.heads:
                if head.shape != shapes.get(head.name, head.shape):
                    context.faults.add(
                        "shapes_differ",
                        f"{source.file.name}: {head.name!r} has {list(head.shape)} per row, "
                        f"{list(shapes[head.name])} in {self.sources[0].file.name}",
                        file=source.file.id,
                        column=head.name,
                    )
        self._loaded = [source.load(numbers, texts, context) for source in self.sources]
        self._starts = list(accumulate((loaded.rows for loaded in self._loaded), initial=0))
        self.width = sum(prod(shape) for shape in shapes.values())
        return {name: in_order([loaded.texts[name] for loaded in self._loaded]) for name in texts}

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        """Rows `start` to `stop` of the numbers, flat: [n, width]."""
        parts = []
        for begin, loaded in zip(self._starts[:-1], self._loaded, strict=True):
            first, last = max(start - begin, 0), min(stop - begin, loaded.rows)
            if first < last:
                columns = [part.values[first:last].reshape(last - first, -1) for part in loaded.numbers]
                parts.append(columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def release(self) -> None:
        for loaded in self._loaded:
            for part in loaded.numbers:
                part.release()

    def origin(self, row: int, position: int) -> Origin:
        """Where the value at `row` and flat `position` came from."""
        number = next(n for n, stop in enumerate(self._starts[1:]) if row < stop)
        loaded = self._loaded[number]
        file, file_row = self.sources[number].file, loaded.file_row(row - self._starts[number])
        return Origin(file, file_row, self.fields()[position])

    def text_origin(self, row: int, column: str) -> Origin:
        number = next(n for n, stop in enumerate(self._starts[1:]) if row < stop)
        return Origin(self.sources[number].file, self._loaded[number].file_row(row - self._starts[number]), column)

    def segments(self) -> list[tuple[str, str, int]]:
        """Name, type and width of every column of numbers: an array is one, however wide."""
        found: list[tuple[str, str, int]] = []
        for part in self._loaded[0].numbers:
            each = prod(part.values.shape[1:]) // len(part.names)
            found.extend((name, f"{part.values.dtype}", each) for name in part.names)
        return found

    def fields(self) -> list[str]:
        """A name for every flat position: a table's column, or an array's name and the place in it."""
        fields: list[str] = []
        for part in self._loaded[0].numbers:
            if len(part.names) > 1 or prod(part.values.shape[1:]) == 1:
                fields.extend(part.names)
            else:
                places = np.ndindex(part.values.shape[1:])
                fields.extend(f"{part.names[0]}[{','.join(map(str, place))}]" for place in places)
        return fields


@dataclass
class Joined:
    """Stacks of equal length, side by side."""

    stacks: list[Stack]
    texts: dict[str, Coded]

    @property
    def rows(self) -> int:
        return self.stacks[0].rows

    @property
    def width(self) -> int:
        return sum(stack.width for stack in self.stacks)

    def read(self, start: int, stop: int) -> NDArray[np.generic]:
        parts = [stack.read(start, stop) for stack in self.stacks if stack.width]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def release(self) -> None:
        for stack in self.stacks:
            stack.release()

    def origin(self, row: int, position: int) -> Origin:
        for stack in self.stacks:
            if position < stack.width:
                return stack.origin(row, position)
            position -= stack.width
        raise IndexError(position)

    def segments(self) -> list[tuple[str, str, int]]:
        return [segment for stack in self.stacks if stack.width for segment in stack.segments()]

    def text_origin(self, row: int, column: str) -> Origin:
        return next(stack for stack in self.stacks if column in stack.heads).text_origin(row, column)


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
                    f"{other.names} and {stack.names} both have {both[0]!r} and differ in other columns: files to be "
                    f"stacked need the same columns ({sorted(other.heads)} and {sorted(stack.heads)}), "
                    "files to be joined none in common",
                    file=stack.sources[0].file.id,
                    column=both[0],
                )
    return stacks


def heads_of(stacks: Sequence[Stack]) -> list[Head]:
    return [head for stack in stacks for head in stack.heads.values()]


def join(stacks: Sequence[Stack], plan: Plan, context: Context) -> Joined:
    """Reads the stacks that the plan needs; another length than the first's is a fault."""
    needed = {*plan.features, plan.label, plan.split}
    used = [stack for stack in stacks if needed & stack.heads.keys()]
    used.sort(
        key=lambda stack: not stack.heads.keys() & set(plan.features)
    )  # the input first: the others must match it
    texts: dict[str, Coded] = {}
    for stack in used:
        texts |= stack.load(plan, context)
        if stack.rows != used[0].rows:
            context.faults.add(
                "length_mismatch",
                f"{stack.names} has {stack.rows:,} rows and {used[0].names} {used[0].rows:,}; "
                "files that are joined side by side must have the same number",
                file=stack.sources[0].file.id,
            )
    return Joined(used, texts)
