"""The datasets of a job, opened: each by itself, and all of them as one."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dataset import Dataset, Rows
from app.dataset_options import SPLITS
from app.ml.modalities.base import Modality
from app.ml.plugins import find

MOST_READ = 4.0
"""Rows that are read to learn preprocessing, at most about so many times all that there are."""


@dataclass(frozen=True)
class Domain:
    """One dataset of a job."""

    id: str
    name: str
    fingerprint: str | None
    dataset: Dataset
    share: float = 1.0
    """How much of what is drawn comes from it."""


class JoinedRows:
    """A split of several datasets, one after the other, in which a name has one position."""

    def __init__(self, parts: Sequence[tuple[Rows, Mapping[str, Any]]], joint: Mapping[str, Any]) -> None:
        """`parts` are splits with the profiles of their datasets; `joint` is the profile of all of them."""
        self._parts, self._joint = parts, joint
        self._firsts = np.cumsum([0, *(split.batches for split, _ in parts)])
        self.modalities = {name: kind for split, _ in reversed(parts) for name, kind in split.modalities.items()}

    @property
    def batches(self) -> int:
        return int(self._firsts[-1])

    @cached_property
    def sizes(self) -> list[int]:
        return [size for split, _ in self._parts for size in split.sizes]

    @property
    def rows(self) -> int:
        return sum(split.rows for split, _ in self._parts)

    def read(self, role: str, batch: int, rows: NDArray[np.int64] | None = None) -> Any:
        place = int(np.searchsorted(self._firsts, batch, side="right")) - 1
        split, profile = self._parts[place]
        column = split.read(role, batch - int(self._firsts[place]), rows)
        if role not in split.modalities or self._joint.get(role) is None:
            return column
        modality: type[Modality] = find("modalities", Modality)[split.modalities[role]]
        return modality.moved(column, profile[role], self._joint[role])

    def present(self, role: str) -> NDArray[np.bool_]:
        return np.concatenate([split.present(role) for split, _ in self._parts])


def joined(datasets: Sequence[Dataset], profile: Mapping[str, Any]) -> Dataset:
    """The datasets read as one; `profile` is what is known of them together, by `app.ml.resolving.domains`."""
    splits = {
        str(split): JoinedRows([(each.splits[split], each.profile) for each in datasets], profile) for split in SPLITS
    }
    return Dataset({"profile": dict(profile)}, splits)


def passes(rows: Sequence[int], shares: Sequence[float]) -> list[int]:
    """How often each dataset is read when preprocessing is learned, so that it sees rows about as a network will.

    Once at least: nothing stays unseen.
    """
    drawn = [share / max(1, count) for count, share in zip(rows, shares, strict=True)]
    total = min(1 / min(drawn), MOST_READ * sum(rows))
    return [max(1, round(total * each)) for each in drawn]


def columns(domains: Sequence[Domain], role: str) -> Any:
    """A role's training columns of all datasets, piece by piece, those that are drawn more often read again."""
    splits = [domain.dataset.splits["train"] for domain in domains]
    times = passes([int(split.present(role).sum()) for split in splits], [domain.share for domain in domains])
    for split, count in zip(splits, times, strict=True):
        for number in itertools.chain.from_iterable(itertools.repeat(range(split.batches), count)):
            yield split.read(role, number)
