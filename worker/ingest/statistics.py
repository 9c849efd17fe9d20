"""Exact statistics of columns, gathered block by block (Chan, Golub and LeVeque 1983). Knows no file and no name."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass
class Moments:
    """Of every column of the blocks seen: extremes, mean and spread."""

    count: int
    low: Vector
    high: Vector
    mean: Vector
    squares: Vector
    """Sum of squared differences from the mean."""

    @classmethod
    def nothing(cls, width: int) -> "Moments":
        return cls(0, np.full(width, np.inf), np.full(width, -np.inf), np.zeros(width), np.zeros(width))

    def add(self, block: NDArray[np.generic]) -> None:
        """Takes rows [n, W] of finite numbers in."""
        if not len(block):
            return
        low, high = block.min(axis=0), block.max(axis=0)
        exact = block.astype(np.float64)
        mean = exact.mean(axis=0)
        exact -= mean
        squares = np.einsum("nw,nw->w", exact, exact)
        self._merge(len(block), low.astype(np.float64), high.astype(np.float64), mean, squares)

    def whole(self) -> "Moments":
        """Of all columns taken as one."""
        mean = self.mean.mean(keepdims=True)
        squares = self.squares.sum(keepdims=True) + self.count * ((self.mean - mean) ** 2).sum(keepdims=True)
        low, high = self.low.min(keepdims=True), self.high.max(keepdims=True)
        return Moments(self.count * len(self.mean), low, high, mean, squares)

    def part(self, start: int, stop: int) -> "Moments":
        """Of the columns `start` to `stop`."""
        cut = slice(start, stop)
        return Moments(self.count, self.low[cut], self.high[cut], self.mean[cut], self.squares[cut])

    def described(self, column: int) -> dict[str, float]:
        spread = np.sqrt(self.squares[column] / max(1, self.count))
        values = (self.low[column], self.high[column], self.mean[column], spread)
        return {name: float(value) for name, value in zip(("min", "max", "mean", "std"), values, strict=True)}

    def _merge(self, count: int, low: Vector, high: Vector, mean: Vector, squares: Vector) -> None:
        total = self.count + count
        apart = mean - self.mean
        self.squares += squares + apart**2 * (self.count * count / total)
        self.mean += apart * (count / total)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.count = total
