"""Random numbers that belong to a row: the same on every worker and device, in whatever batch the row comes."""

import numpy as np
import torch
from torch import Tensor

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIXERS = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


def uniform(rows: Tensor, seed: int, count: int) -> Tensor:
    """Numbers [B, count] in [0, 1) for rows [B] int64, on the CPU; SplitMix64 (Steele 2014) of seed, row and place."""
    key = _mixed(np.array([seed], np.uint64) * GOLDEN)
    keys = _mixed(rows.numpy().astype(np.uint64) * GOLDEN + key)
    bits = _mixed(keys[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
    return torch.from_numpy((bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24))


def normal(rows: Tensor, seed: int, count: int) -> Tensor:
    """Numbers [B, count] of mean 0 and deviation 1, drawn like those of `uniform` (Box & Muller 1958)."""
    sizes, angles = uniform(rows, seed, 2 * count).chunk(2, dim=1)
    return (-2 * (1 - sizes).log()).sqrt() * (2 * torch.pi * angles).cos()


def _mixed(
    numbers: np.ndarray[tuple[int, ...], np.dtype[np.uint64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    for shift, factor in MIXERS:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * factor
    return numbers ^ (numbers >> np.uint64(31))
