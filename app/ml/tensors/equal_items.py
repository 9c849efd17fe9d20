"""Tells which encoded items of a batch are equal, exactly and at about the price of looking at a few of their bytes.

Legend: `B` batch, `N` bytes of an item.
"""

import torch
from torch import Tensor

from app.ml.tensors.shapes import Tensors

LOOKED_AT = 1024
"""Bytes of an item by which it is looked up among the others, spread evenly; those alike there are compared whole."""


def first_equal(inputs: Tensors) -> Tensor:
    """[B] int64, on the CPU: for every item the place of the first one that is equal to it, which may be its own.

    Once a step; `retrieval.identities` tells it across batches, by digests that take ten to twenty times as long.
    """
    parts = [tensor.cpu().reshape(len(tensor), -1).contiguous().view(torch.uint8) for tensor in inputs.values()]
    items = parts[0] if len(parts) == 1 else torch.cat(parts, 1)  # [B, N]
    step = items.shape[1] // LOOKED_AT | 1  # odd: of numbers, each of their bytes in turn
    looked_at = items[:, ::step].numpy()
    places: list[int] = []
    alike: dict[bytes, list[int]] = {}
    for place, few in enumerate(looked_at):
        firsts = alike.setdefault(few.tobytes(), [])
        equal = next((first for first in firsts if torch.equal(items[first], items[place])), None)
        if equal is None:
            firsts.append(place)
        places.append(place if equal is None else equal)
    return torch.tensor(places)
