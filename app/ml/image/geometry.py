"""Turning, moving, cutting and blurring pictures, a batch at once, each in its own way; boxes go with their pictures.

A motion is [B, 2, 3]: it says for a place of the new picture where it was in the old one, both from -1 to 1 (x, then y)
between the outer edges, as `torch.nn.functional.affine_grid` has it.
Legend: `B` batch, `C` channels, `H`, `W` height and width, `M` boxes, `K` classes.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, pad

from app.ml.tensors.device import sent
from app.ml.tensors.shapes import CORNERS, Tensors

VISIBLE = 0.2
"""Share of a box that has to lie in the new picture, or the box is gone."""


def motion(
    scale: tuple[Tensor, Tensor], turn: Tensor, shear: Tensor, move: tuple[Tensor, Tensor], side: tuple[int, int]
) -> Tensor:
    """A motion [B, 2, 3] for pictures of height and width `side`; what is given is [B], for x and for y.

    `scale` is the share of the old picture's side that is seen, negative to mirror it; `turn` and `shear` are angles in
    radians that keep proportions; `move` is where the middle of the new picture was.
    """
    high, wide = side
    cosine, sine, slant = turn.cos(), turn.sin(), shear.tan()
    # turn times shear, in units of pixels, then as shares of the width and the height
    across = [cosine, (cosine * slant - sine) * (high / wide)]
    down = [sine * (wide / high), sine * slant + cosine]
    rows = [torch.stack([row[0] * scale[0], row[1] * scale[1], move[at]], 1) for at, row in enumerate((across, down))]
    return torch.stack(rows, 1)


def moved(pictures: Tensor, motions: Tensor) -> Tensor:
    """Pictures [B, C, H, W] after their motions; beyond their edges they go on as they end there."""
    grid = affine_grid(motions, list(pictures.shape), align_corners=False).to(pictures.dtype)
    return grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def moved_boxes(boxes: Tensors, motions: Tensor) -> Tensors:
    """Boxes (`values` [B, M, 4 + K], corners from 0 to 1; `mask` [B, M]) around where their corners are now.

    What lies outside is cut; a box of which less than VISIBLE is left is gone.
    """
    values, mask = boxes["values"], boxes["mask"]
    x0, y0, x1, y1 = (2 * values[..., :CORNERS] - 1).unbind(-1)
    corners = torch.stack([torch.stack([x0, x1, x0, x1], -1), torch.stack([y0, y0, y1, y1], -1)], 2)  # [B, M, 2, 4]
    back = torch.linalg.inv(motions[:, None, :, :2])
    now = (back @ (corners - motions[:, None, :, 2:]) + 1) / 2
    low, high = now.amin(-1), now.amax(-1)  # [B, M, 2]
    inside = torch.cat([low.clamp(0, 1), high.clamp(0, 1)], -1)
    left = (inside[..., 2:] - inside[..., :2]).prod(-1) / (high - low).prod(-1).clamp(min=1e-12)
    kept = mask & (left >= VISIBLE)
    order = (~kept).long().argsort(dim=1, stable=True)  # real places come first
    places = order[..., None].expand_as(values)
    changed = torch.cat([inside, values[..., CORNERS:]], -1).gather(1, places)
    kept = kept.gather(1, order)
    return {**boxes, "values": changed * kept[..., None], "mask": kept}


def rectangles(area: Tensor, proportion: Tensor, middle: tuple[Tensor, Tensor], side: tuple[int, int]) -> Tensor:
    """[B, 1, H, W] bool, True inside a rectangle per picture.

    `area` is its share of the picture, `proportion` width by height, `middle` its place from 0 to 1 (x, then y), all
    [B]; what would lie outside is cut.
    """
    high, wide = side
    half = (area.sqrt() * proportion.sqrt() / 2, area.sqrt() / proportion.sqrt() / 2)
    inside = []
    for places, centre, reach in zip((wide, high), middle, half, strict=True):
        at = (torch.arange(places, device=area.device) + 0.5) / places
        inside.append((at - centre[:, None]).abs() < reach[:, None])
    return (inside[1][:, :, None] & inside[0][:, None, :])[:, None]


def blurred(pictures: Tensor, deviation: Tensor) -> Tensor:
    """Pictures [B, C, H, W] under a normal kernel each; `deviation` [B] in pixels, 0 leaves a picture as it is.

    Deviations lie on the CPU, so that nobody waits for a GPU to know the largest.
    """
    batch, channels, high, wide = pictures.shape
    reach = min(max(1, math.ceil(3 * float(deviation.max()))), min(high, wide) - 1)
    if reach < 1:
        return pictures
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offsets / deviation.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)  # [B * C, size]
    kernel = sent(kernel, pictures.device).to(pictures.dtype)
    planes = pad(pictures, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[None]  # [1, B * C, …]
    planes = conv2d(planes, kernel[:, None, None, :], groups=batch * channels)
    planes = conv2d(planes, kernel[:, None, :, None], groups=batch * channels)
    return planes.reshape(batch, channels, high, wide)
