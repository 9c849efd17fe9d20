"""Where the numbers of a table lie and how far they spread, learned in one pass and constant memory. Knows no torch.

Legend: `N` rows of a piece, `W` width.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Spread:
    """Mean, deviation and range of every column, pieces merged as by Chan, Golub & LeVeque (1979).

    With `gaps`, a NaN is a number that is not there; of a column without any number, all of them are 0.
    """

    def __init__(self, *, gaps: bool = False) -> None:
        self.rows = 0
        self._gaps = gaps
        self._counts: Floats = np.zeros(0)
        """Numbers of every column."""
        self.mean: Floats = np.zeros(0)
        self._low: Floats = np.zeros(0)
        self._high: Floats = np.zeros(0)
        self._squares: Floats = np.zeros(0)
        """Sums of squared distances from the mean."""

    def add(self, column: NDArray[np.float32]) -> None:
        """`column` [N, W]."""
        if len(column) == 0:
            return
        piece = column.astype(np.float64)
        counts = np.full(piece.shape[1], float(len(piece)))
        if self._gaps and (missing := np.isnan(piece)).any():
            counts -= missing.sum(axis=0)
            low, high = (np.where(missing, end, piece) for end in (np.inf, -np.inf))
            low, high = low.min(axis=0), high.max(axis=0)
            mean = np.where(missing, 0, piece).sum(axis=0) / np.maximum(counts, 1)
            piece = np.where(missing, 0, piece - mean)
        else:
            low, high, mean = piece.min(axis=0), piece.max(axis=0), piece.mean(axis=0)
            piece -= mean
        squares = np.einsum("nw,nw->w", piece, piece)
        if self.rows == 0:
            self.rows, self.mean, self._low, self._high, self._squares = len(piece), mean, low, high, squares
            self._counts = counts
            return
        total = np.maximum(self._counts + counts, 1)
        shift = mean - self.mean
        self.mean = self.mean + shift * (counts / total)
        self._squares = self._squares + squares + shift**2 * (self._counts * counts / total)
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        self._counts = self._counts + counts
        self.rows += len(piece)

    @property
    def low(self) -> Floats:
        return np.where(self._counts > 0, self._low, 0.0)

    @property
    def high(self) -> Floats:
        return np.where(self._counts > 0, self._high, 0.0)

    @property
    def deviation(self) -> Floats:
        """Exactly 0 for a column that never changes, whatever rounding did to its sum of squares."""
        return np.where(self.low == self.high, 0.0, np.sqrt(self._squares / np.maximum(self._counts, 1)))


class Reservoir:
    """A uniform sample of rows of bounded size: every row draws a random key, and the smallest keys stay."""

    VALUES = 2**23
    """Numbers kept at most (32 MiB), but never fewer than 256 rows."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)
        self._keys: NDArray[np.float64] = np.zeros(0)
        self._rows: list[NDArray[np.float32]] = []

    def add(self, column: NDArray[np.float32]) -> None:
        """`column` [N, W]."""
        keys = np.concatenate([self._keys, self._random.random(len(column))])
        rows = np.concatenate([*self._rows, column])
        size = max(256, self.VALUES // max(1, rows.shape[1]))
        if len(rows) > size:
            kept = np.sort(np.argpartition(keys, size)[:size])
            keys, rows = keys[kept], rows[kept]
        self._keys, self._rows = keys, [rows]

    def middle(self) -> tuple[Floats, Floats]:
        """Per column the median, and the spread of the middle half in units of a normal distribution's deviation.

        A NaN is a number that is not there; of a column without any, both are 0.
        """
        rows = self._rows[0].astype(np.float64)
        gaps = np.isnan(rows)
        rows[:, gaps.all(axis=0)] = 0
        quantile = np.nanquantile if gaps.any() else np.quantile
        quarter, half, rest = quantile(rows, [0.25, 0.5, 0.75], axis=0)
        return half, (rest - quarter) / 1.349
