"""Sees of all boxes together that they are written down otherwise than their format has it. Reads no file."""

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1.0
"""Pixels by which a box may reach beyond its picture without being wrong: tools count pixels from 0 or from 1."""
SMALLEST = 8
"""Pixels of a side of pictures in whose first pixel nobody draws all boxes."""
FAR = 2.0
"""Widths or heights of its picture: what reaches so far is no drawing beyond an edge."""
APART = 0.1
"""Share of a side of its picture by which a box is another one."""
Floats = NDArray[np.float64]


def are_shares(corners: Floats, sizes: Floats) -> bool:
    """Whether boxes in pixels, corners [N, 4] in pictures of height and width [N, 2], look like shares of these."""
    return bool(len(corners)) and bool((corners <= 1).all()) and bool((sizes >= SMALLEST).all())


def otherwise(format: str, corners: Floats, sizes: Floats) -> str:
    """What boxes that leave their pictures look like, and what their format has; nothing where it is not to be seen."""
    edges = sizes[:, [1, 0]]
    if format == "YOLO" and len(corners) and (corners.max(axis=1) > FAR * edges.max(axis=1)).mean() > 1 / 2:
        return "YOLO's x, y, width and height are shares of the picture's size, and these look like pixels"
    far = corners[:, 2:] - corners[:, :2]  # what COCO gives as width and height
    if format == "COCO" and ((far > corners[:, :2]) & (far <= edges + ROUNDING)).all():
        return "COCO's bbox is [x, y, width, height], and these look like [x0, y0, x1, y1]"
    return ""


def differ(corners: Floats, inside: Floats, edges: Floats) -> bool:
    """Whether many boxes, corners [N, 4], are others when cut at the edges [N, 2] than when read as corners."""
    cut = (np.abs(inside - corners) > ROUNDING).any(axis=1)
    far = corners[:, 2:] - corners[:, :2]
    apart = (np.abs(inside[:, 2:] - far) > APART * edges).any(axis=1)
    return bool((cut & apart).sum() > len(corners) / 4)
