"""Draws batches from several splits in fixed shares. Its position is a step number, like a loader's.

How many rows of a batch each split gives is systematic sampling (Madow & Madow 1944): shares laid end to end along a
batch, and a grid of one point per row, shifted from step to step by the golden ratio. So a batch is never more than a
row away from the shares, and neither are many steps together more than a few. Within a split every row is given once
before any is given again. Legend: `S` steps, `D` splits.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.padding import joined, shortened
from worker.data.loader import Loader, batch_seed

GOLDEN = (math.sqrt(5) - 1) / 2
STEPS_AT_ONCE = 65_536

Piece = tuple[Roles, Tensor]
"""Rows of one split, and numbers that tell them, and the passes over the split, apart."""


class Mixture:
    """Batches from `loaders`, which differ in their splits alone; an epoch draws as many rows as all of them have."""

    def __init__(self, loaders: Sequence[Loader], shares: Sequence[float], *, seed: int) -> None:
        self.loaders, self.seed = loaders, seed
        self.rows = sum(loader.rows for loader in loaders)
        self.batch_size = min(loaders[0].batch_size, self.rows)
        self._bounds = np.concatenate([[0.0], np.cumsum(shares)])
        self._bounds[-1] = 1.0
        self._shift = float(np.random.default_rng(seed).random())

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` from its `start`-th on, all of one size."""
        first = number * self.steps_per_epoch
        given = self.drawn(first + start)
        offsets = np.cumsum([0, *(loader.split.rows for loader in self.loaders)])
        streams = [
            _Stream(loader, at, int(offset), int(offsets[-1]))
            for loader, at, offset in zip(self.loaders, given.tolist(), offsets, strict=False)
        ]
        for step in range(start, self.steps_per_epoch):
            (counts,) = self.counts(first + step, first + step + 1).tolist()
            pieces = [
                piece for stream, count in zip(streams, counts, strict=True) if count for piece in stream.take(count)
            ]
            roles = {role: shortened(joined([piece[0][role] for piece in pieces])) for role in pieces[0][0]}
            rows = torch.cat([piece[1] for piece in pieces])
            yield Batch(roles, rows, batch_seed(self.seed, number, step), epoch=number)

    def counts(self, first: int, last: int) -> NDArray[np.int64]:
        """Rows [S, D] that each split gives at the steps from `first` to `last`, counted through all epochs."""
        shifts = (self._shift + GOLDEN * np.arange(first, last)) % 1.0
        marks = np.floor(self.batch_size * self._bounds + shifts[:, None])
        counts: NDArray[np.int64] = np.diff(marks, axis=1).astype(np.int64)
        return counts

    def drawn(self, step: int) -> NDArray[np.int64]:
        """Rows [D] that each split has given before `step`."""
        total = np.zeros(len(self.loaders), np.int64)
        for first in range(0, step, STEPS_AT_ONCE):
            total += self.counts(first, min(first + STEPS_AT_ONCE, step)).sum(0)
        return total


class _Stream:
    """The rows of one split, pass after pass, from the `at`-th on."""

    def __init__(self, loader: Loader, at: int, offset: int, total: int) -> None:
        self._loader, self._offset, self._total = loader, offset, total
        passed, row = divmod(at, loader.rows)
        start, self._at = divmod(row, loader.batch_size)
        self._pieces = self._endless(passed, start)
        self._held: Piece | None = None

    def take(self, count: int) -> Iterator[Piece]:
        """The next `count` rows, in as many pieces as they come from."""
        while count:
            if self._held is None:
                self._held = next(self._pieces)
            roles, rows = self._held
            stop = min(self._at + count, len(rows))
            cut = slice(self._at, stop)
            yield {role: {name: t[cut] for name, t in part.items()} for role, part in roles.items()}, rows[cut]
            count -= stop - self._at
            self._at = stop
            if stop == len(rows):
                self._held, self._at = None, 0

    def _endless(self, passed: int, start: int) -> Iterator[Piece]:
        while True:
            for batch in self._loader.epoch(passed, start):
                yield batch.roles, batch.rows + (self._offset + passed * self._total)
            passed, start = passed + 1, 0
