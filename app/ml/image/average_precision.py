"""How well boxes are found: average precision as COCO defines it (Lin 2014). Knows no network.

As in its reference evaluation: of every picture the best boxes first, each takes the unclaimed true box of its class
that it overlaps most, where that is enough; precisions are made to fall with recall and averaged at 101 recalls, then
over the classes that are there and over ten overlaps that count as enough. Of a picture up to 100 boxes count, here
of all classes together.
Legend: `N` pictures, `D` boxes that are told, `M` true ones, `K` classes, `T` overlaps, `S` boxes of one class.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.ml.image.overlaps import overlaps
from app.ml.tensors.shapes import CORNERS, Tensors

ENOUGH = torch.linspace(0.5, 0.95, 10, dtype=torch.float64)
RECALLS = torch.linspace(0, 1, 101, dtype=torch.float64)


@dataclass(frozen=True)
class Matches:
    """Predicted boxes of some pictures, which of them are right, and how many there were to be found."""

    scores: Tensor
    """[S], of the predicted boxes"""
    labels: Tensor
    """[S]"""
    right: Tensor
    """[S, T] bool: by each overlap that may count as enough"""
    wanted: Tensor
    """[K]: true boxes of each class"""


def match(told: Tensor, target: Tensors) -> Matches:
    """Matches predicted boxes `told` [N, D, 4 + K], best first, with the true ones."""
    mask, values = target["mask"], target["values"]
    labels, true = told[..., CORNERS:].argmax(2), values[..., CORNERS:].argmax(2)
    right = claimed(overlaps(told[..., :CORNERS], values[..., :CORNERS]), labels[:, :, None] == true[:, None], mask)
    scores = told[..., CORNERS:].amax(2)
    real = scores > 0
    wanted = (values[..., CORNERS:] * mask[..., None]).sum((0, 1))
    return Matches(scores[real].cpu(), labels[real].cpu(), right[real].cpu(), wanted.cpu())


def claimed(near: Tensor, alike: Tensor, mask: Tensor) -> Tensor:
    """[N, D, T] bool, True where a box claims a true one; of overlaps [N, D, M], equal classes and real ones [N, M]."""
    enough = ENOUGH.to(near.device, near.dtype)
    near = torch.where(alike & mask[:, None], near, -1.0)
    free = torch.ones(len(near), len(enough), near.shape[2], dtype=torch.bool, device=near.device)
    found = []
    for own in near.unbind(1):  # [N, M] of the best box of each picture, then of the second
        most, which = torch.where(free, own[:, None], -1.0).max(2)
        hit = most >= enough
        free = free & ~(one_hot(which, free.shape[2]).bool() & hit[..., None])
        found.append(hit)
    return torch.stack(found, 1)


def detection_metrics(parts: Iterable[Matches], shown: float) -> dict[str, float]:
    """`average_precision`, `average_precision_50` (an overlap of a half is enough); `f1`, of all boxes whose score is
    at least `shown`, where a half is enough."""
    held = list(parts)
    if not held:
        return {"average_precision": 0.0, "average_precision_50": 0.0, "f1": 0.0}
    scores, labels, right = (
        torch.cat([getattr(each, name) for each in held]) for name in ("scores", "labels", "right")
    )
    wanted = torch.stack([each.wanted for each in held]).sum(0)
    there = wanted.nonzero().flatten().tolist()
    precisions = [averaged(scores[labels == k], right[labels == k], int(wanted[k])) for k in there]
    means = torch.stack(precisions).mean(0) if precisions else torch.zeros(len(ENOUGH))
    told = scores >= shown
    hits, total = int(right[told, 0].sum()), int(told.sum()) + int(wanted.sum())
    return {
        "average_precision": float(means.mean()),
        "average_precision_50": float(means[0]),
        "f1": 2 * hits / max(1, total),
    }


def averaged(scores: Tensor, right: Tensor, wanted: int) -> Tensor:
    """Average precision of one class by each overlap [T], of scores [S] and hits [S, T] among `wanted` true boxes."""
    if not len(scores):
        return torch.zeros(len(ENOUGH), dtype=torch.float64)
    hits = right[scores.argsort(descending=True, stable=True)].double().cumsum(0)
    ranks = torch.arange(1, len(hits) + 1, dtype=torch.float64)
    precision = (hits / ranks[:, None]).flip(0).cummax(0).values.flip(0)
    recall = (hits / wanted).T.contiguous()  # [T, S]
    places = torch.searchsorted(recall, RECALLS.expand(len(recall), -1).contiguous())
    beyond = torch.cat([precision.T, precision.new_zeros(precision.shape[1], 1)], 1)
    return beyond.gather(1, places).mean(1)
