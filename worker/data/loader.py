"""Turns the memory-mapped record batches of a split into shuffled batches of tensors. Its position is a step number.

Order: record batches are drawn in random order and gathered into windows of bounded size; rows are permuted within a
window. A split that fits one window is permuted as a whole and stays encoded from epoch to epoch. Everything is keyed
by seed and epoch, so that any step can be found again without replaying those before it. Rows of different lengths are
held without padding, and a batch is as long as its longest row; where they may be sorted, its rows are of about one
length. In batches of 32 messages of programs, of which half have 4 tokens and few have 37, three of four places were
padding, and a step took three times as long.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.dataset import Rows
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.padding import Gathering, Packed, joined

SAMPLE_ROWS = 64
ENCODED_ROWS = 1024
"""Rows of different lengths that are encoded at once: they are padded until they are packed."""
MOST_PLACES = 2**18
"""Of rows of different lengths that are given in order, with padding: a long row must not make all others wide."""
CHUNK, NUMBERS = 1024, 2**23
"""Rows, and numbers of them, that a validation computes at once: the maps of large pictures are many times as large."""
POOL = 16
"""Batches among whose rows those of about one length are looked for: with more, a row would always meet the same."""
LAYOUTS_OF_ANY_LENGTH = ("tokens", "boxes", "frames")

Held = dict[str, Packed]


@dataclass(frozen=True)
class _Window:
    """Record batches that are held and shuffled together, and how many of their rows are used."""

    batches: tuple[int, ...]
    rows: int


class Loader:
    """Batches of one split for a network's roles. Rows that lack a role (no label) are never part of it."""

    def __init__(
        self,
        split: Rows,
        roles: Mapping[str, Fitted],
        *,
        batch_size: int,
        seed: int,
        window_bytes: int,
        groups_by_length: bool = False,
    ) -> None:
        """`groups_by_length` puts rows of about one length into a batch; all roles then have lengths."""
        self.split, self.roles, self.groups_by_length = split, roles, groups_by_length
        self.batch_size, self.seed = batch_size, seed
        used = np.ones(split.rows, dtype=bool)
        for role in roles:
            used &= split.present(role)
        bounds = np.cumsum([0, *split.sizes])
        self._used = [used[start:stop] for start, stop in itertools.pairwise(bounds)]
        self._starts = bounds[:-1]
        self.rows = int(used.sum())
        self._window_rows = max(self.batch_size, window_bytes // max(1, self._bytes_per_row()))
        self._kept: tuple[_Window, Held, Tensor] | None = None
        self._passed: dict[int, tuple[Held, Tensor]] = {}
        self._room = window_bytes

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch, the last and shorter one included."""
        return -(-self.rows // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `number` from its `start`-th on."""
        order = np.random.default_rng([self.seed, number])
        skip = start * self.batch_size
        left: tuple[Roles, Tensor] | None = None
        step = start
        for window in self._windows(order):
            permutation = torch.from_numpy(order.permutation(window.rows))
            shuffled = (
                torch.from_numpy(order.permutation(window.rows // self.batch_size)) if self.groups_by_length else None
            )
            if skip >= window.rows:
                skip -= window.rows
                continue
            roles, positions = self._load(window)
            if shuffled is not None:
                lengths = torch.stack([held.lengths for held in roles.values()]).sum(0)
                permutation = alike(permutation, lengths, shuffled, self.batch_size)
            permutation, skip = permutation[skip:], 0
            done = 0
            if left is not None:  # the rest of the window before begins this window's first batch
                done = self.batch_size - len(left[1])
                taken = _take(roles, positions, permutation[:done])
                whole = _join(left, taken)
                if len(whole[1]) < self.batch_size:
                    left = whole
                    continue
                yield self._batch(whole, number, step)
                left, step = None, step + 1
            for first in range(done, len(permutation), self.batch_size):
                part = _take(roles, positions, permutation[first : first + self.batch_size])
                if len(part[1]) < self.batch_size:
                    left = part
                else:
                    yield self._batch(part, number, step)
                    step += 1
        if left is not None:
            yield self._batch(left, number, step)

    def in_order(self, most: int | None = None) -> Iterator[Batch]:
        """Rows in the split's order; at most so many of them, spread evenly over the split."""
        chosen = np.concatenate(
            [np.flatnonzero(used) + first for used, first in zip(self._used, self._starts, strict=True)]
        )
        read = self._pass
        if most is not None and len(chosen) > most:
            chosen, read = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(np.int64)], self._read
        for number, first in enumerate(self._starts):
            inside = chosen[(chosen >= first) & (chosen < first + self.split.sizes[number])] - first
            if not len(inside):
                continue
            held, positions = read(number, inside)
            longest = max(held.values(), key=lambda packed: packed.nbytes)
            for places in longest.runs(self.batch_size, MOST_PLACES):
                yield self._batch(_take(held, positions, places), 0, int(places[0]))

    def _pass(self, number: int, chosen: NDArray[np.int64]) -> tuple[Held, Tensor]:
        """`_read` of all used rows: where that is dear it is done once, as far as a window has room for them."""
        if number in self._passed:
            return self._passed[number]
        held, positions = self._read(number, chosen)
        size = sum(packed.nbytes for packed in held.values())
        dear = any(fitted.shape.layout in LAYOUTS_OF_ANY_LENGTH for fitted in self.roles.values())
        if dear and size <= self._room:
            self._passed[number] = held, positions
            self._room -= size
        return held, positions

    def _windows(self, order: np.random.Generator) -> Iterator[_Window]:
        batches: list[int] = []
        rows = 0
        numbers: NDArray[np.int64] = np.arange(self.split.batches)
        if self.rows > self._window_rows:
            order.shuffle(numbers)
        for number in numbers:
            batches.append(int(number))
            rows += int(self._used[number].sum())
            if rows >= self._window_rows:
                yield _Window(tuple(batches), rows)
                batches, rows = [], 0
        if rows:
            yield _Window(tuple(batches), rows)

    def _load(self, window: _Window) -> tuple[Held, Tensor]:
        if self._kept is not None and self._kept[0] == window:
            return self._kept[1], self._kept[2]
        self._kept = None  # frees the window before the next one is read
        gathered = {role: Gathering(window.rows) for role in self.roles}
        found = []
        for number in window.batches:
            part, places = self._read(number, np.flatnonzero(self._used[number]))
            for role, rows in part.items():
                gathered[role].add(rows)
            found.append(places)
        held, positions = {role: rows.packed() for role, rows in gathered.items()}, torch.cat(found)
        self._kept = (window, held, positions)
        return held, positions

    def _read(self, number: int, chosen: NDArray[np.int64]) -> tuple[Held, Tensor]:
        """The chosen rows of one record batch, encoded, and their positions in the split."""
        held: Held = {}
        for role, fitted in self.roles.items():
            column = self.split.read(role, number)
            if len(chosen) != len(column):
                column = column[chosen]
            step = ENCODED_ROWS if fitted.shape.layout in LAYOUTS_OF_ANY_LENGTH else max(1, len(column))
            pieces = [column[first : first + step] for first in range(0, max(1, len(column)), step)]
            held[role] = Packed.joined([fitted.pack(piece) for piece in pieces])
        return held, torch.from_numpy(chosen + self._starts[number])

    def _bytes_per_row(self) -> int:
        for number, used in enumerate(self._used):
            sample = np.flatnonzero(used)[:SAMPLE_ROWS]
            if len(sample):
                held, _ = self._read(number, sample)
                return sum(packed.nbytes for packed in held.values()) // len(sample)
        return 1

    def _batch(self, part: tuple[Roles, Tensor], epoch: int, step: int) -> Batch:
        return Batch(part[0], part[1], batch_seed(self.seed, epoch, step), epoch=epoch)


def alike(permutation: Tensor, lengths: Tensor, shuffled: Tensor, batch_size: int) -> Tensor:
    """A permutation [N] of rows of these `lengths`, sorted by them within pools of `POOL` batches.

    `shuffled` says in which order whole batches then come; what is left of the rows stays at the end.
    """
    whole = permutation[: batch_size * len(shuffled)]
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(whole, POOL * batch_size)]
    batches = torch.cat(pools).view(-1, batch_size)[shuffled]
    return torch.cat([batches.flatten(), permutation[len(whole) :]])


def rows_at_once(numbers: int) -> int:
    """How many rows of so many numbers a validation computes at once."""
    return max(1, min(CHUNK, NUMBERS // numbers))


def batch_seed(seed: int, epoch: int, step: int) -> int:
    """Decides a batch's random numbers. A hash: numpy's SeedSequence takes as long as a small layer."""
    return int.from_bytes(blake2b(b"%d %d %d" % (seed, epoch, step), digest_size=4).digest(), "little")


def _take(held: Held, positions: Tensor, chosen: Tensor) -> tuple[Roles, Tensor]:
    return {role: packed.take(chosen) for role, packed in held.items()}, positions.index_select(0, chosen)


def _join(first: tuple[Roles, Tensor], second: tuple[Roles, Tensor]) -> tuple[Roles, Tensor]:
    roles: Roles = {role: joined([first[0][role], second[0][role]]) for role in first[0]}
    return roles, torch.cat([first[1], second[1]])
