"""How often items are found by their partners among all others, where some stand in several pairs.

A picture with five captions is found by each of them, and finds one by any of the five; pictures and captions that
stand several times count once among those that are looked through, as usual for such data (Karpathy & Fei-Fei 2015).
Legend: `N` pairs, `U` items of a side that differ, `E` width of the embedding.
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from app.ml.tensors.shapes import Tensors


def identities(inputs: Tensors) -> list[bytes]:
    """Something of every encoded item that is the same for equal items alone."""
    values, mask = inputs["values"].cpu(), inputs.get("mask")
    rows = values if mask is None else [row[real] for row, real in zip(values, mask.cpu(), strict=True)]
    return [blake2b(row.contiguous().numpy().tobytes(), digest_size=16).digest() for row in rows]


class Side:
    """One side of N pairs."""

    def __init__(self, items: Sequence[bytes]) -> None:
        """`items` are the `identities` of that side."""
        numbers: dict[bytes, int] = {}
        self.places = torch.tensor([numbers.setdefault(item, len(numbers)) for item in items])
        """[N], which of the items that differ stands there."""
        self.firsts = torch.from_numpy(np.unique(self.places.numpy(), return_index=True)[1])
        """[U], where each stands first."""


def partners(asked: Side, others: Side) -> Tensor:
    """[U_asked, U_others] bool, which are pairs."""
    found = torch.zeros(len(asked.firsts), len(others.firsts), dtype=torch.bool)
    found[asked.places, others.places] = True
    return found


def ranks(likeness: Tensor, partners: Tensor) -> Tensor:
    """For every asked item how many others are as likely as the likeliest of its partners, or more so [U_asked].

    `likeness` and `partners` are [U_asked, U_others].
    """
    best = likeness.masked_fill(~partners, -torch.inf).amax(1)
    return (likeness.masked_fill(partners, -torch.inf) >= best[:, None]).sum(1)


def by_chance(partners: Tensor, nearest: int) -> float:
    """Share of the asked items of which a partner is among so many others that are drawn."""
    own, missed = partners.sum(1).double(), torch.ones(len(partners), dtype=torch.float64)
    for drawn in range(min(nearest, partners.shape[1])):
        missed *= (1 - own / (partners.shape[1] - drawn)).clamp(min=0)
    return float(1 - missed.mean())
