"""Two views of every item for objectives that compare them. Knows no loss.

The job's augmentation makes them where there is one. Else each view loses a part of the item: numbers are exchanged for
random ones (SCARF, Bahri 2021), patches and words are hidden (for words beside dropout, as in SimCSE, Gao 2021).
Legend: `B` batch, `L` tokens.
"""

import torch
from torch import Tensor

from app.ml import masking, patches
from app.ml.chance import uniform
from app.ml.modalities.base import Shape, Tensors
from app.ml.objectives.base import Batch, Roles
from app.ml.rebuilding import real
from app.ml.tokenization import MASK

SHARES = {"vector": 0.3, "grid": 0.3, "tokens": 0.15}
"""Of an item that a view loses by default."""
PAIR = 2


def two_views(batch: Batch, shape: Shape, share: float | None, *, training: bool) -> list[Roles]:
    """Two versions of the batch's roles; the same ones at every validation."""
    if batch.views:
        assert len(batch.views) == PAIR, "the objective asked for two views"
        return list(batch.views)
    lost = share if share is not None else SHARES[shape.layout]
    seed = PAIR * batch.seed if training else 0
    inputs = batch.roles["input"]
    return [{**batch.roles, "input": _part_of(inputs, batch.rows, seed + view, shape, lost)} for view in range(PAIR)]


def _part_of(inputs: Tensors, rows: Tensor, seed: int, shape: Shape, share: float) -> Tensors:
    values = inputs["values"]
    if shape.layout == "tokens":
        gone = uniform(rows, seed, values.shape[1]).to(values.device) < share
        return {**inputs, "values": values.masked_fill(gone & real(inputs), MASK)}
    if shape.layout == "grid":
        side = patches.side(shape, None)
        count = patches.lattice(shape, side)
        if count == (1, 1):
            return inputs
        gone = masking.hidden(rows, seed, share, count[0] * count[1])
        return {**inputs, "values": values.masked_fill(patches.over_grid(gone.to(values.device), shape, side), 0.0)}
    return {**inputs, "values": _exchanged(values, rows, seed, shape, share)}


def _exchanged(values: Tensor, rows: Tensor, seed: int, shape: Shape, share: float) -> Tensor:
    """Numbers of the scaled values' own spread in the place of a share of them."""
    width = values.shape[1]
    draw = uniform(rows, seed, 3 * width)
    others = draw[:, width : 2 * width]
    if not shape.bounded:  # Box & Muller 1958
        others = (-2 * (1 - others).log()).sqrt() * (2 * torch.pi * draw[:, 2 * width :]).cos()
    return torch.where((draw[:, :width] < share).to(values.device), others.to(values.device), values)
