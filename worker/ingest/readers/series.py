"""Tells arrays of measurements, steps by channels, from pictures by their first rows. Reads no file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.source import SMALLEST


def may_be_series(dtype: np.dtype[Any], row: Sequence[int]) -> bool:
    """Whether rows so typed and shaped may be either; pictures with an axis of channels never are series."""
    return dtype.kind in "if" and len(row) == 2


def is_series(first: NDArray[Any]) -> bool:
    """Of the first rows [n, H, W]: whether most hold what no pixel is, on any scale.

    That is a number less than -1; where sides are too small, a fraction; and where a picture would not be square, one
    below 0 beside a number above 1. Square ones may be pictures which somebody has brought to deviation 1.
    """
    known = np.nan_to_num(first, posinf=0, neginf=0)
    _, height, width = first.shape
    strange, fractions = _hold(known < -1), _hold(known % 1 != 0)
    if min(height, width) < SMALLEST:
        strange = strange | fractions
    elif height != width:
        strange = strange | fractions & _hold(known < 0) & _hold(known > 1)
    return 2 * int(strange.sum()) > len(first)


def _hold(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows hold such numbers: [n, H, W] to [n]."""
    return np.asarray(where.any(axis=(1, 2)))
