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

    def add(self, block: NDArray[np.generic]) -> None:
        """Takes rows [n, W] in; a NaN is a gap, all else is finite."""
        if not len(block):
            return
        low, high = block.min(axis=0).astype(np.float64), block.max(axis=0).astype(np.float64)
        count = np.full(len(low), len(block))
        exact = block.astype(np.float64)
        if np.isnan(low).any():
            known = ~np.isnan(exact)
            count = known.sum(axis=0)
            low = np.where(known, exact, np.inf).min(axis=0)
            high = np.where(known, exact, -np.inf).max(axis=0)
            mean = np.where(known, exact, 0).sum(axis=0) / np.maximum(count, 1)
            exact = np.where(known, exact - mean, 0)
        else:
            mean = exact.mean(axis=0)
            exact -= mean
        squares = np.einsum("nw,nw->w", exact, exact)
        self._merge(count, low, high, mean, squares)

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
        return {name: float(value) for name, value in zip(names, values, strict=True)}

    def _merge(self, count: NDArray[np.int64], low: Vector, high: Vector, mean: Vector, squares: Vector) -> None:
        share = count / np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self.squares += squares + apart**2 * (self.count * share)
        self.mean += apart * share
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.count = self.count + count
