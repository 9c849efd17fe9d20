"""What an objective is given, and what it answers: batches of encoded rows, and a loss.

Legend: `B` batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from app.ml.tensors.padding import cuts, shortened
from app.ml.tensors.shapes import Tensors

Roles = dict[str, Tensors]
Positions = Sequence[slice | Tensor]
"""Of the rows of each part of a batch."""
APART = 0x9E3779B1
"""Distance of the seeds of two parts of a batch: 2^32 over the golden ratio."""


@dataclass(frozen=True)
class Batch:
    """Rows of every role, encoded. `rows` [B] int64 are positions in the split: random numbers are keyed by them."""

    roles: Roles
    rows: Tensor
    seed: int = 0
    """Seed of this batch's random numbers: drawn from the job's seed and the step."""
    views: tuple[Roles, ...] = ()
    """Differently augmented versions of the roles, where the objective asks for several and the job augments."""
    epoch: int = 0
    """Counts the passes over the split; with the job's seed and a row it decides how that row is augmented."""
    chances: Tensors = field(default_factory=dict)
    """The random numbers of the objective's loss, where they are drawn before it is asked for."""
    equals: Tensors = field(default_factory=dict)
    """By role, `first_equal` of its items before they were augmented [B]; for objectives that ask for it."""

    def generator(self) -> torch.Generator:
        """Random numbers of this batch, on the CPU: the same at every replay."""
        return torch.Generator().manual_seed(self.seed)

    def parts(self, count: int, places: int | None = None) -> list[Batch]:
        """The rows in the parts of `cut`, or as the one they are.

        Every part has random numbers of its own; those of the first are this batch's. `equals` are of the whole alone.
        """
        return self.taken(self.cut(count, places))

    def cut(self, count: int, places: int | None = None) -> Positions:
        """Which rows are in which of `count` parts of like size; in one where they are fewer rows than that.

        With `places`, rows of different lengths that lie before a processor are cut further, sorted by length, until a
        part has at most so many places with its padding, or one row.
        """
        count = 1 if len(self.rows) < count else count
        ends = list(itertools.pairwise(len(self.rows) * number // count for number in range(count + 1)))
        masks = [part["mask"] for part in self.roles.values() if "mask" in part]
        if places is None or sum(mask.numel() for mask in masks) <= places or masks[0].device.type != "cpu":
            return [slice(begin, end) for begin, end in ends]
        lengths = torch.stack([mask.sum(1) for mask in masks]).sum(0)
        order = lengths.argsort(stable=True)
        sizes = lengths[order].tolist()
        return [
            order[begin + first : begin + last]
            for begin, end in ends
            for first, last in cuts(sizes[begin:end], end - begin, places)
        ]

    def taken(self, positions: Positions) -> list[Batch]:
        """The parts with the rows at these positions, those of a part together without what is padding in all."""
        if len(positions) == 1:
            return [self]

        def cut(roles: Roles, rows: slice | Tensor) -> Roles:
            parts = {role: {name: tensor[rows] for name, tensor in part.items()} for role, part in roles.items()}
            return parts if isinstance(rows, slice) else {role: shortened(part) for role, part in parts.items()}

        return [
            Batch(
                cut(self.roles, rows),
                self.rows[rows],
                (self.seed + number * APART) % 2**32,
                tuple(cut(view, rows) for view in self.views),
                self.epoch,
            )
            for number, rows in enumerate(positions)
        ]

    def tensors(self) -> Iterator[Tensor]:
        """Those of all roles and views, chances and equals: what a device computes with."""
        for roles in (self.roles, *self.views):
            for part in roles.values():
                yield from part.values()
        yield from self.chances.values()
        yield from self.equals.values()

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with other `tensors`, each made of one of these."""

        def changed(roles: Mapping[str, Tensors]) -> Roles:
            return {role: {name: change(tensor) for name, tensor in part.items()} for role, part in roles.items()}

        chances, equals = (
            {name: change(tensor) for name, tensor in each.items()} for each in (self.chances, self.equals)
        )
        views = tuple(map(changed, self.views))
        return replace(self, roles=changed(self.roles), views=views, chances=chances, equals=equals)

    def to(self, device: torch.device) -> Batch:
        if all(tensor.device == device for tensor in self.tensors()):
            return self
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=True))


def restored(parts: Sequence[Tensor], positions: Positions) -> Tensor:
    """What parts have an entry for each of their rows of, joined in the order of the batch's rows."""
    joined = torch.cat(list(parts))
    if isinstance(positions[0], slice):
        return joined
    return joined.index_select(0, torch.cat([rows for rows in positions if isinstance(rows, Tensor)]).argsort())


class Stream(Protocol):
    """Every call gives the batches of the training split from the beginning, in its order."""

    def __call__(self, most: int | None = None, /) -> Iterator[Batch]:
        """At most so many rows, spread evenly over all there are."""


Tell = Callable[[float], None]
"""Called at least once a second with the share of the work that is done; raises when the job is asked to leave."""


@dataclass(frozen=True)
class Loss:
    """A sum over the batch and what it was summed over: the trainer divides by the global count.

    That keeps accumulation and several devices exact. `parts` are further sums over the same count, at most 13 of them:
    their means stand among the job's metrics.
    """

    sum: Tensor
    count: int
    parts: Mapping[str, Tensor] = field(default_factory=dict)
