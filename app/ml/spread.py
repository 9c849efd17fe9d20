"""Where the numbers of a table lie and how far they spread, learned in one pass and constant memory. Knows no torch.

Legend: `N` rows of a piece, `W` width.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Spread:
    """Mean, deviation and range of every column, pieces merged as by Chan, Golub & LeVeque (1979)."""

    def __init__(self) -> None:
        self.rows = 0
        self.mean: Floats = np.zeros(0)
        self.low: Floats = np.zeros(0)
        self.high: Floats = np.zeros(0)
        self._squares: Floats = np.zeros(0)
        """Sums of squared distances from the mean."""

    def add(self, column: NDArray[np.float32]) -> None:
        """`column` [N, W]."""
        if len(column) == 0:
            return
        piece = column.astype(np.float64)
        low, high, mean = piece.min(axis=0), piece.max(axis=0), piece.mean(axis=0)
        piece -= mean
        squares = np.einsum("nw,nw->w", piece, piece)
        if self.rows == 0:
            self.rows, self.mean, self.low, self.high, self._squares = len(piece), mean, low, high, squares
            return
        total = self.rows + len(piece)
        shift = mean - self.mean
        self.mean = self.mean + shift * (len(piece) / total)
        self._squares = self._squares + squares + shift**2 * (self.rows * len(piece) / total)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.rows = total

    @property
    def deviation(self) -> Floats:
        """Exactly 0 for a column that never changes, whatever rounding did to its sum of squares."""
        return np.where(self.low == self.high, 0.0, np.sqrt(self._squares / max(1, self.rows)))


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
        size = max(256, self.VALUES // rows.shape[1])
        if len(rows) > size:
            kept = np.sort(np.argpartition(keys, size)[:size])
            keys, rows = keys[kept], rows[kept]
        self._keys, self._rows = keys, [rows]

    def middle(self) -> tuple[Floats, Floats]:
        """Per column the median, and the spread of the middle half in units of a normal distribution's deviation."""
        quarter, half, rest = np.quantile(self._rows[0].astype(np.float64), [0.25, 0.5, 0.75], axis=0)
        return half, (rest - quarter) / 1.349
