"""Whether numbers are numbers. Knows no meaning of them."""

import math

import numpy as np
from numpy.typing import NDArray


def all_finite(values: NDArray[np.float32]) -> bool:
    """False when one of them is an infinity or NaN."""
    squares = float(np.vdot(values, values))  # quicker than a look at every number; finite when all are small
    return math.isfinite(squares) or bool(np.isfinite(values).all())
