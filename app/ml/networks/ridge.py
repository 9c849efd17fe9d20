"""Linear regression that chooses by itself how much to hold back.

Legend: `N` rows, `W` numbers per row.
"""

import math

import torch
from torch import Tensor

SHRINKAGES = tuple(10.0**power for power in range(-6, 3))
"""That are tried, per row."""


def ridge(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes [W, 1] and level [1] of ridge regression (Hoerl & Kennard 1970) of `values` [N, 1] on `rows` [N, W].

    How much it shrinks is chosen by generalised cross-validation (Golub, Heath & Wahba 1979).
    """
    count, mean, middle = len(rows), rows.double().mean(0), values.double().mean()
    centred, wanted = rows.double() - mean, values.double() - middle
    span = torch.linalg.qr(centred.T)[0] if rows.shape[1] > count else None  # slopes that are held back lie in it
    centred = centred if span is None else centred @ span
    squares, axes = torch.linalg.eigh(centred.T @ centred)
    squares = squares.clamp_min(0)
    along, turned = axes.T @ (centred.T @ wanted), centred @ axes  # [W, 1], [N, W]
    best = (math.inf, torch.zeros_like(along))
    for strength in SHRINKAGES:
        shrunk = squares + strength * count
        weights = along / shrunk[:, None]
        left = count - 1 - float((squares / shrunk).sum())
        error = float((turned @ weights - wanted).square().sum()) / max(left, 1e-9) ** 2
        best = min(best, (error, weights), key=lambda pair: pair[0])
    slopes: Tensor = axes @ best[1] if span is None else span @ (axes @ best[1])
    return slopes.float(), (middle - mean @ slopes).float()
