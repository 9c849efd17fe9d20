"""How boxes lie to each other, and which ones stay of those that say the same. Knows no network and no picture.

Boxes are corners x0, y0, x1, y1, in any unit.
Legend: `B` batch, `N`, `M` boxes, `P` places, `K` classes.
"""

import torch
from torch import Tensor

from app.ml.tensors.shapes import CORNERS

SAME = 0.5
"""Overlap from which two boxes of one class are taken to mean the same thing."""
CANDIDATES = 300
"""The best of a picture, among which those that say the same are looked for."""


def areas(boxes: Tensor) -> Tensor:
    """[…, 4] to [...]"""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def overlaps(these: Tensor, those: Tensor) -> Tensor:
    """Intersection over union of each of [B, N, 4] with each of [B, M, 4]: [B, N, M]."""
    one, other = these[:, :, None], those[:, None]
    common = torch.cat([one[..., :2].maximum(other[..., :2]), one[..., 2:].minimum(other[..., 2:])], -1)
    shared = areas(common)
    return shared / (areas(one) + areas(other) - shared).clamp(min=1e-12)


def likeness(these: Tensor, those: Tensor) -> Tensor:
    """Generalised intersection over union (Rezatofighi 2019) of pairs of boxes […, 4], from -1, far apart, to 1."""
    common = torch.cat([these[..., :2].maximum(those[..., :2]), these[..., 2:].minimum(those[..., 2:])], -1)
    around = torch.cat([these[..., :2].minimum(those[..., :2]), these[..., 2:].maximum(those[..., 2:])], -1)
    shared, whole = areas(common), areas(around).clamp(min=1e-12)
    union = areas(these) + areas(those) - shared
    return shared / union.clamp(min=1e-12) - (whole - union) / whole


def distinct(boxes: Tensor, labels: Tensor) -> Tensor:
    """[B, N] bool: those of [B, N, 4], best first, that no better one that stays and has the same label overlaps.

    Non-maximum suppression, of all pictures at once: what a box must yield to is looked at again until nothing changes
    (Zheng 2020), which is soon and gives what going from box to box would.
    """
    near = (overlaps(boxes, boxes) > SAME) & (labels[:, :, None] == labels[:, None])
    yields = near.triu(1)  # [B, better, worse]
    stays = torch.ones_like(labels, dtype=torch.bool)
    while not torch.equal(stays, now := ~(yields & stays[:, :, None]).any(1)):
        stays = now
    return stays


def best(values: Tensor, most: int, least: float) -> Tensor:
    """Of boxes with the scores of every class [B, P, 4 + K] the `most` best that differ: [B, most, 4 + K].

    Best first, each with one score, `least` at least; zeros where there are fewer.
    """
    corners, scores = values[..., :CORNERS], values[..., CORNERS:]
    classes = scores.shape[2]
    found, places = scores.flatten(1).topk(min(CANDIDATES, scores[0].numel()))
    labels = places % classes
    boxes = corners.gather(1, (places // classes)[..., None].expand(-1, -1, CORNERS))
    stays = distinct(boxes, labels) & (found >= least)
    order = (~stays).long().argsort(dim=1, stable=True)[:, :most]
    kept = stays.gather(1, order)
    told = values.new_zeros(len(values), most, values.shape[2])
    told[:, : order.shape[1], :CORNERS] = boxes.gather(1, order[..., None].expand(-1, -1, CORNERS)) * kept[..., None]
    told[:, : order.shape[1], CORNERS:].scatter_(
        2, labels.gather(1, order)[..., None], (found.gather(1, order) * kept)[..., None]
    )
    return told
