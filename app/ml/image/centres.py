"""What each place of a map is to say of the boxes in its picture (CenterNet, Zhou 2019; TTFNet, Liu 2019).

The place in the middle of a box says its class, places around it say less of it the farther they are, by a normal
distribution that is as long and as high as the box; all that say something say where the box is. What several boxes
claim is the smallest one's. Knows no network.
Legend: `B` batch, `M` boxes, `P` places of a map, `K` classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.ml.image.overlaps import areas
from app.ml.tensors.shapes import CORNERS, Tensors

REACH = 0.54
"""Share of a box, on either axis, in whose middle places know of it: six deviations (Liu 2019)."""
LEAST = 0.011
"""What a place at the end of three deviations says."""


@dataclass(frozen=True)
class Assigned:
    """What the places of a batch are to say."""

    heat: Tensor
    """[B, P, K] from 0 to 1, which is the middle of a box"""
    boxes: Tensor
    """[B, P, 4]"""
    weight: Tensor
    """[B, P], 0 where there is no box; of all places of a box 1"""


def places_of(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Middles of the places, x and y from 0 to 1, [P, 2]."""
    high, wide = (((torch.arange(count, device=device) + 0.5) / count) for count in grid)
    return torch.stack([wide.repeat(grid[0]), high.repeat_interleave(grid[1])], 1)


@torch.no_grad()
def assigned(target: Tensors, grid: tuple[int, int]) -> Assigned:
    """For a map of `grid` rows and columns."""
    mask, corners, classes = target["mask"], target["values"][..., :CORNERS], target["values"][..., CORNERS:]
    counts = corners.new_tensor([grid[1], grid[0]])
    low, high = corners[..., :2], corners[..., 2:]
    middle = (((low + high) / 2 * counts).floor().clamp(min=0).minimum(counts - 1) + 0.5) / counts  # of a place
    deviation = ((high - low) * (REACH / 6)).clamp(min=1e-6)
    away = (places_of(grid, corners.device) - middle[:, :, None]) / deviation[:, :, None]  # [B, M, P, 2]
    heat = (-0.5 * away.square().sum(-1)).exp() * mask[..., None]  # [B, M, P]
    labels = classes.argmax(2)[..., None].expand_as(heat)
    by_class = heat.new_zeros(len(heat), classes.shape[2], heat.shape[2]).scatter_reduce(1, labels, heat, "amax")
    knows = heat > LEAST
    _, owner = torch.where(knows, areas(corners)[..., None], torch.inf).min(1)  # [B, P]
    owned = knows & (owner[:, None] == torch.arange(heat.shape[1], device=heat.device)[:, None])
    said = heat * owned
    weight = (said / said.sum(2, keepdim=True).clamp(min=1e-12)).sum(1)
    boxes = corners.gather(1, owner[..., None].expand(-1, -1, CORNERS))
    return Assigned(by_class.transpose(1, 2), boxes, weight)
