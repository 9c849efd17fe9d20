"""How far a code places items from each other, and how far they are: the raw stress of Kruskal (1964).

Legend: `B` batch, `E` width of a code, `N` numbers per item.
"""

import torch
from torch import Tensor


def displacements(codes: Tensor, items: Tensor) -> Tensor:
    """Mean [B] over the other rows of the squared difference between distances of codes [B, E] and of items [B, N]."""
    amiss: Tensor = (_distances(codes) - _distances(items)).square().sum(1)
    return amiss / max(1, len(codes) - 1)


def _distances(rows: Tensor) -> Tensor:
    """[B, B]. Summed one by one: of rows near each other, a product of all would leave nothing but rounding."""
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
