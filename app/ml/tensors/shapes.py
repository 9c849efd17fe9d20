"""What raw and encoded items look like: types of columns and of tensors, and the shape of an item.

A raw column is a NumPy array: float32 [N, W] for vectors, uint8 [N, H, W, C] for images, object [N] of `str` for text
and of `str | None` for classes, float32 [N] for numbers; or `Ragged` rows: int16 samples for audio, float32 [5] per box
for boxes, int32 positions for tags.
Legend: `N` rows, `B` batch, `W` width, `C` channels, `H` height, `L` tokens.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from app.ragged import Ragged

Column = NDArray[Any]
AnyColumn = Column | Ragged
Tensors = dict[str, Tensor]
"""One role's part of a batch: `values` [B, …] always; tokens and boxes add `mask` [B, L] bool, True for real ones."""
Arrays = dict[str, NDArray[Any]]
"""The same in NumPy."""
Layout = Literal["vector", "grid", "tokens", "classes", "numbers", "tags", "boxes", "frames"]
CORNERS = 4
"""Numbers of an encoded box: x0, y0, x1, y1; behind them stand those of its classes."""


@dataclass(frozen=True)
class Shape:
    """What one encoded item looks like, without the batch.

    (W,) for a vector; (C, H, W) for a grid, of which a spectrogram is one: (1, mels, frames); (L,) for tokens, the most
    there may be; (classes,) for classes and tags; (1,) for numbers; (boxes, 4 + classes) for boxes;
    (mels,) for each frame of a sound.
    """

    layout: Layout
    size: tuple[int, ...]
    bounded: bool = False
    """True when every value lies in [0, 1]."""
    aligned: bool = False
    """Of a grid: True when a place means the same in every item, as in spectrograms with their sound in the middle."""
    vocabulary: int | None = None
    """Of tokens: how many ids there are."""
    spelled: int = 0
    """Of tokens: how many of them, the last ones, are parts of words that are unknown."""
    channels: int | None = None
    """Of a vector that is a series, one step after the other: numbers of each step."""

    @property
    def words(self) -> int:
        """Of tokens: how many ids there are for whole ones."""
        assert self.vocabulary is not None
        return self.vocabulary - self.spelled

    @property
    def count(self) -> int:
        """Numbers per item."""
        return math.prod(self.size)


def as_arrays(tensors: Tensors) -> Arrays:
    """Views."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def as_tensors(arrays: Arrays) -> Tensors:
    """Views."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
