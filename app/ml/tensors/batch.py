"""What an objective is given, and what it answers: batches of encoded rows, and a loss.

Legend: `B` batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from app.ml.tensors.shapes import Tensors

Roles = dict[str, Tensors]
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

    def parts(self, count: int) -> list[Batch]:
        """The rows in `count` parts of like size, or as the one they are when they are fewer than that.

        Every part has random numbers of its own; those of the first are this batch's. `equals` are of the whole alone.
        """
        if count == 1 or len(self.rows) < count:
            return [self]
        ends = [len(self.rows) * number // count for number in range(count + 1)]

        def cut(roles: Roles, begin: int, end: int) -> Roles:
            return {role: {k: t[begin:end] for k, t in part.items()} for role, part in roles.items()}

        return [
            Batch(
                cut(self.roles, begin, end),
                self.rows[begin:end],
                (self.seed + number * APART) % 2**32,
                tuple(cut(view, begin, end) for view in self.views),
                self.epoch,
            )
            for number, (begin, end) in enumerate(itertools.pairwise(ends))
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
