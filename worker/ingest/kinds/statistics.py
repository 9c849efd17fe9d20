"""Exact statistics of columns, gathered block by block (Chan, Golub and LeVeque 1983). Knows no file and no name."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass
class Moments:
    """Of every column of the blocks seen: extremes, mean and spread of what is there."""

    count: NDArray[np.int64]
    """[W] numbers that are there."""
    low: Vector
    high: Vector
    mean: Vector
    squares: Vector
    """Sum of squared differences from the mean."""

    @classmethod
    def nothing(cls, width: int) -> "Moments":
        zeros = np.zeros(width)
        return cls(np.zeros(width, np.int64), np.full(width, np.inf), np.full(width, -np.inf), zeros, zeros.copy())

    @classmethod
    def of(cls, block: NDArray[np.generic]) -> "Moments":
        """Of rows [n, W], one at least; a NaN is a gap, and a column with an infinity has no mean and no spread."""
        columns = np.array(block.T, np.float64, order="C")  # [W, n]: sums along memory are many times as fast
        low, high = columns.min(axis=1), columns.max(axis=1)
        count = np.full(len(low), len(block))
        if np.isnan(low).any():
            known = ~np.isnan(columns)
            count = known.sum(axis=1)
            low = np.where(known, columns, np.inf).min(axis=1)
            high = np.where(known, columns, -np.inf).max(axis=1)
            mean = np.where(known, columns, 0).sum(axis=1) / np.maximum(count, 1)
            columns = np.where(known, columns - mean[:, None], 0)
        else:
            mean = columns.mean(axis=1)
            columns -= mean[:, None]
        return cls(count, low, high, mean, np.einsum("wn,wn->w", columns, columns))

    def add(self, block: NDArray[np.generic]) -> None:
        """Takes rows [n, W] in; a NaN is a gap, all else is finite."""
        if len(block):
            self.merge(Moments.of(block))

    def whole(self) -> "Moments":
        """Of all columns taken as one."""
        count = self.count.sum(keepdims=True)
        mean = (self.count * self.mean).sum(keepdims=True) / np.maximum(count, 1)
        squares = self.squares.sum(keepdims=True) + (self.count * (self.mean - mean) ** 2).sum(keepdims=True)
        low, high = self.low.min(keepdims=True), self.high.max(keepdims=True)
        return Moments(count, low, high, mean, squares)

    def part(self, start: int, stop: int) -> "Moments":
        """Of the columns `start` to `stop`."""
        cut = slice(start, stop)
        return Moments(self.count[cut], self.low[cut], self.high[cut], self.mean[cut], self.squares[cut])

    def described(self, column: int) -> dict[str, float | None]:
        """Null where nothing is there."""
        names = ("min", "max", "mean", "std")
        if not self.count[column]:
            return dict.fromkeys(names)
        spread = np.sqrt(self.squares[column] / self.count[column])
        values = (self.low[column], self.high[column], self.mean[column], spread)
        return {name: as_written(float(value)) for name, value in zip(names, values, strict=True)}

    def merge(self, other: "Moments") -> None:
        """Takes the rows of another in."""
        share = other.count / np.maximum(self.count + other.count, 1)
        apart = other.mean - self.mean
        self.squares += other.squares + apart**2 * (self.count * share)
        self.mean += apart * share
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        self.count = self.count + other.count


def as_written(value: float) -> float:
    """The shortest number that becomes this one in float32, if there is one: 0.1 for 0.10000000149011612."""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return value if float(narrow) != value or value % 1 == 0 else float(str(narrow))
