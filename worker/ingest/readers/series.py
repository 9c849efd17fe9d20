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
    """Of the first rows [n, H, W]: whether most hold a number less than -1, or a fraction where sides are too small."""
    known = np.nan_to_num(first, posinf=0, neginf=0)
    strange = known < -1
    if min(first.shape[1:]) < SMALLEST:
        strange |= known % 1 != 0
    return 2 * int(strange.any(axis=(1, 2)).sum()) > len(first)
