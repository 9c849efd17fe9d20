"""Chooses the parts of an item that are hidden from a network, per row and seed. Knows no network.

Legend: `B` batch, `L` parts of an item (values, patches or tokens), `G` groups.
"""

import torch
from torch import Tensor

from app.ml.networks.tracing import tracing
from app.ml.tensors.random_numbers import uniform


def hidden_count(ratio: float, parts: int) -> int:
    """How many of an item's parts are hidden: at least one is, and at least one is not."""
    return min(max(round(ratio * parts), 1), parts - 1)


def hidden(rows: Tensor, seed: int, ratio: float, parts: int) -> Tensor:
    """[B, L] bool: the same number of parts of every row."""
    order = uniform(rows, seed, parts).argsort(1)
    return torch.zeros_like(order, dtype=torch.bool).scatter(1, order[:, : hidden_count(ratio, parts)], True)


def hidden_tokens(draw: Tensor, ratio: float, mask: Tensor) -> Tensor:
    """[B, L] bool: a share of the real tokens [B, L] of every row, one at least; `draw` [B, L] is uniform."""
    draw = draw.masked_fill(~mask, 2.0)
    return ((draw < ratio) | (draw == draw.amin(1, keepdim=True))) & mask


def visible(where: Tensor, count: int) -> Tensor:
    """Positions [B, count] of the parts that `where` [B, L] does not hide."""
    if tracing():  # of parts that are hidden in all rows alike: a graph holds which ones remain
        return torch.tensor([[part for part, hidden in enumerate(where[0].tolist()) if not hidden]])
    return where.byte().argsort(dim=1, stable=True)[:, :count]  # `nonzero` would wait for a GPU


def groups(ratio: float, parts: int) -> list[Tensor]:
    """Masks [L] of which each part is in one, the same for ever: hiding them in turn, all is seen from the rest."""
    count = min(parts, max(2, round(1 / ratio)))
    dealt = torch.randperm(parts, generator=torch.Generator().manual_seed(0)) % count
    return [dealt == number for number in range(count)]
