"""Grids cut into square patches, and put together again. Knows no network.

Legend: `B` batch, `C` channels, `H`, `W` height and width, `s` side of a patch, `L` patches, `N` = C·s·s.
"""

import math

from torch import Tensor
from torch.nn.functional import pad

from app.ml.tensors.shapes import Shape

ALONG = 8
"""Patches along the longer side, where no side of a patch is asked."""


def side(shape: Shape, asked: int | None) -> int:
    """Side of a patch: the asked one, or what cuts the longer side into `ALONG`."""
    return asked or math.ceil(max(shape.size[1:]) / ALONG)


def lattice(shape: Shape, size: int) -> tuple[int, int]:
    """Patches down and across; the last ones may reach beyond the grid."""
    return math.ceil(shape.size[1] / size), math.ceil(shape.size[2] / size)


def cut(values: Tensor, size: int) -> Tensor:
    """[B, C, H, W] to [B, L, N]; beyond the grid there are zeros."""
    below, right = -values.shape[2] % size, -values.shape[3] % size
    whole = pad(values, (0, right, 0, below)) if below or right else values
    # torch's unfold starts a kernel for every row of a batch on a GPU
    channels, height, width = whole.shape[1:]
    parts = whole.reshape(-1, channels, height // size, size, width // size, size)
    return parts.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def joined(patches: Tensor, shape: Shape, size: int) -> Tensor:
    """[B, L, N] to [B, C, H, W]: what `cut` has cut."""
    rows, columns = lattice(shape, size)
    parts = patches.reshape(-1, rows, columns, shape.size[0], size, size)
    values = parts.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)
    return values[:, :, : shape.size[1], : shape.size[2]].contiguous()


def over_grid(marked: Tensor, shape: Shape, size: int) -> Tensor:
    """Marked patches [B, L] bool as a mask [B, C, H, W] of the grid's values."""
    each = marked[:, :, None].float().expand(-1, -1, shape.size[0] * size**2)
    return joined(each, shape, size) > 0
