"""A mixture keeps its shares in every batch, gives no row twice before all were given, and can begin at any step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.ml.modalities.base import Fitted
from app.ml.modalities.text import Text
from app.ml.modalities.vectors import Vectors
from worker.data.domains import JoinedRows, passes
from worker.data.loader import Loader
from worker.data.mixture import Mixture

SIZES = [300, 47, 10]


class Rows:
    """Rows in memory."""

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self.columns = columns
        self.modalities = dict.fromkeys(columns, "vectors")

    @property
    def batches(self) -> int:
        return len(self.sizes)

    @property
    def sizes(self) -> list[int]:
        return [len(piece) for piece in next(iter(self.columns.values()))]

    @property
    def rows(self) -> int:
        return sum(self.sizes)

    def read(self, role: str, batch: int, rows: NDArray[np.int64] | None = None) -> Any:
        column = self.columns[role][batch]
        return column if rows is None else column[rows]

    def present(self, role: str) -> NDArray[np.bool_]:
        return np.ones(self.rows, np.bool_)


def numbered(count: int, base: int) -> Rows:
    """Rows whose only number is `base` and their position."""
    values = np.arange(base, base + count, dtype=np.float32)[:, None]
    return Rows({"input": np.array_split(values, 3)})


def mixture(shares: list[float], batch: int = 32, seed: int = 0, window: int = 2**20) -> Mixture:
    fitted: dict[str, Fitted] = {"input": Vectors(scaling="none").fit([np.zeros((2, 1), np.float32)])}
    loaders = [
        Loader(numbered(size, 1000 * place), fitted, batch_size=batch, seed=seed, window_bytes=window)
        for place, size in enumerate(SIZES)
    ]
    return Mixture(loaders, shares, seed=seed)


def owners(values: torch.Tensor) -> list[int]:
    return torch.bincount((values[:, 0] // 1000).long(), minlength=len(SIZES)).tolist()


@pytest.mark.parametrize("shares", [[0.8, 0.15, 0.05], [1 / 3, 1 / 3, 1 / 3], [0.003, 0.99, 0.007]])
def test_every_batch_and_all_of_them_together_keep_the_shares(shares: list[float]) -> None:
    mixed = mixture(shares)
    total = np.zeros(len(SIZES))
    steps = 0
    for epoch in range(20):
        for batch in mixed.epoch(epoch):
            counts = np.array(owners(batch.roles["input"]["values"]))
            assert counts.sum() == 32
            assert (abs(counts - 32 * np.array(shares)) <= 1 + 1e-9).all()
            total += counts
            steps += 1
            assert (abs(total - steps * 32 * np.array(shares)) < 4).all()
    assert steps == 20 * mixed.steps_per_epoch


@pytest.mark.parametrize("window", [2**20, 400])
def test_no_row_comes_twice_before_all_of_its_dataset_came(window: int) -> None:
    mixed = mixture([0.5, 0.3, 0.2], window=window)
    given: list[list[float]] = [[], [], []]
    keys: list[int] = []
    for epoch in range(3):
        for batch in mixed.epoch(epoch):
            keys += batch.rows.tolist()
            for value in batch.roles["input"]["values"][:, 0].tolist():
                given[int(value // 1000)].append(value)
    assert len(set(keys)) == len(keys)  # random numbers differ from pass to pass
    for place, size in enumerate(SIZES):
        for first in range(0, len(given[place]) - size, size):
            assert sorted(given[place][first : first + size]) == list(range(1000 * place, 1000 * place + size))


@pytest.mark.parametrize("window", [2**20, 400])
def test_it_begins_at_any_step(window: int) -> None:
    mixed, again = mixture([0.5, 0.3, 0.2], window=window), mixture([0.5, 0.3, 0.2], window=window)
    for epoch in (0, 3):
        whole = list(mixed.epoch(epoch))
        for start in (0, 1, 5, mixed.steps_per_epoch - 1):
            for batch, expected in zip(again.epoch(epoch, start), whole[start:], strict=True):
                assert torch.equal(batch.rows, expected.rows)
                assert torch.equal(batch.roles["input"]["values"], expected.roles["input"]["values"])
                assert (batch.seed, batch.epoch) == (expected.seed, expected.epoch)


def test_seeds_differ() -> None:
    first, other = (next(mixture([0.5, 0.3, 0.2], seed=seed).epoch(0)) for seed in (0, 1))
    assert not torch.equal(first.rows, other.rows)


def test_a_batch_larger_than_the_data_is_as_large_as_they_are() -> None:
    (batch,) = mixture([0.5, 0.3, 0.2], batch=1000).epoch(0)
    assert len(batch.rows) == sum(SIZES)


def test_texts_of_different_lengths_share_a_batch() -> None:
    def texts(rows: list[str]) -> Rows:
        return Rows({"input": [np.array(rows, dtype=object)]})

    short, long = texts(["oak"] * 30), texts(["an oak and an elm"] * 30)
    fitted: dict[str, Fitted] = {"input": Text(tokenizer="words").fit([short.read("input", 0), long.read("input", 0)])}
    loaders = [Loader(each, fitted, batch_size=8, seed=0, window_bytes=2**20) for each in (short, long)]
    batch = next(Mixture(loaders, [0.5, 0.5], seed=0).epoch(0))
    lengths = batch.roles["input"]["mask"].sum(1)
    assert sorted(set(lengths.tolist())) == [1, 5]
    assert batch.roles["input"]["values"].shape == (8, 5)


def test_joined_rows_stand_one_after_the_other() -> None:
    joint = {"input": {"modality": "vectors"}}
    rows = JoinedRows([(numbered(30, 0), joint), (numbered(12, 1000), joint)], joint)
    assert (rows.batches, rows.rows, rows.sizes) == (6, 42, [10, 10, 10, 4, 4, 4])
    read = np.concatenate([rows.read("input", number) for number in range(rows.batches)])[:, 0]
    assert read.tolist() == [*range(30), *range(1000, 1012)]
    assert rows.present("input").all()


@pytest.mark.parametrize(
    ("rows", "shares", "expected"),
    [
        ([100, 100], [0.5, 0.5], [1, 1]),
        ([900, 100], [0.9, 0.1], [1, 1]),
        ([900, 300], [0.5, 0.5], [1, 3]),
        ([1000, 1000], [0.01, 0.99], [1, 8]),
        ([5], [1.0], [1]),
    ],
)
def test_preprocessing_sees_rows_about_as_often_as_the_network(
    rows: list[int], shares: list[float], expected: list[int]
) -> None:
    assert passes(rows, shares) == expected
