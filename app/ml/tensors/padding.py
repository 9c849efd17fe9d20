"""Rows of different lengths in one batch: padded with zeros to a common length, cut to their longest, packed flat.

Rows have different lengths where they have a `mask`, whose real places come first. Knows no modality.
Legend: `B` batch, `L` length, `T` real places of all rows together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.ml.tensors.shapes import Tensors


def elements(rows: Tensors) -> int:
    """Numbers of all rows, without what is padding."""
    return int(rows["mask"].sum()) if "mask" in rows else rows["values"].numel()


def joined(parts: Sequence[Tensors]) -> Tensors:
    """The rows of all parts, one after the other, padded to the longest."""
    if len(parts) == 1:
        return parts[0]
    if "mask" not in parts[0]:
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    length = max(part["mask"].shape[1] for part in parts)
    return {
        name: torch.cat([_lengthened(part[name], length) if runs(part, name) else part[name] for part in parts])
        for name in parts[0]
    }


def joined_answers(parts: Sequence[Tensor]) -> Tensor:
    """The answers of all parts, padded to the longest where they are as long as the rows that they answer."""
    if len(parts) == 1:
        return parts[0]
    if len({part.shape[1:] for part in parts}) > 1:
        length = max(part.shape[1] for part in parts)
        parts = [_lengthened(part, length) for part in parts]
    return torch.cat(list(parts))


def shortened(rows: Tensors) -> Tensors:
    """Rows without the places that are padding in all of them: views."""
    if "mask" not in rows:
        return rows
    longest = max(1, int(rows["mask"].sum(1).max()))
    return {name: tensor[:, :longest] if runs(rows, name) else tensor for name, tensor in rows.items()}


def cuts(lengths: Sequence[int], rows: int, places: int) -> Iterator[tuple[int, int]]:
    """Bounds of parts of rows of these lengths: at most `rows` each that are padded to at most `places`, or one row."""
    begin, longest = 0, 0
    for row, length in enumerate(lengths):
        longest = max(longest, length)
        if row > begin and (row - begin == rows or (row - begin + 1) * longest > places):
            yield begin, row
            begin, longest = row, length
    if lengths:
        yield begin, len(lengths)


def runs(rows: Tensors, name: str) -> bool:
    """True for what has one entry per place of a row."""
    return "mask" in rows and rows[name].shape[:2] == rows["mask"].shape


def _lengthened(tensor: Tensor, length: int) -> Tensor:
    missing = length - tensor.shape[1]
    if not missing:
        return tensor
    return torch.cat([tensor, tensor.new_zeros((len(tensor), missing, *tensor.shape[2:]))], dim=1)


@dataclass(frozen=True)
class Packed:
    """Rows without their padding, for keeping many of them."""

    tensors: Tensors
    """What has an entry per place [T, …], the rest [B, …]."""
    starts: Tensor | None = None
    """[B + 1] int64: where rows begin; None where all rows have one length."""
    flat: frozenset[str] = frozenset()
    """Names of what has an entry per place."""

    @classmethod
    def of(cls, rows: Tensors) -> Packed:
        if "mask" not in rows:
            return cls(rows)
        mask = rows["mask"]
        starts = mask.new_zeros(len(mask) + 1, dtype=torch.int64)
        torch.cumsum(mask.sum(1), 0, out=starts[1:])
        flat = frozenset(name for name in rows if name != "mask" and runs(rows, name))
        kept = {name: tensor[mask] if name in flat else tensor for name, tensor in rows.items() if name != "mask"}
        return cls(kept, starts, flat)

    @classmethod
    def flattened(cls, values: Tensor, lengths: Sequence[int]) -> Packed:
        """Rows whose `values` [T, …] follow each other, so many of each."""
        return cls({"values": values}, torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0), frozenset({"values"}))

    @classmethod
    def joined(cls, parts: Sequence[Packed]) -> Packed:
        if len(parts) == 1:
            return parts[0]
        tensors = {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
        if parts[0].starts is None:
            return cls(tensors)
        lengths = torch.cat([part.lengths for part in parts])
        return cls(tensors, torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), parts[0].flat)

    @property
    def lengths(self) -> Tensor:
        assert self.starts is not None
        return self.starts.diff()

    @property
    def rows(self) -> int:
        return len(next(iter(self.tensors.values()))) if self.starts is None else len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        held = [*self.tensors.values(), *([self.starts] if self.starts is not None else [])]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def runs(self, rows: int, places: int) -> Iterator[Tensor]:
        """Positions of consecutive rows, at most `rows` of them, that are padded to at most `places` or are one."""
        lengths = [1] * self.rows if self.starts is None else self.lengths.tolist()
        for begin, end in cuts(lengths, rows, places):
            yield torch.arange(begin, end)

    def take(self, chosen: Tensor) -> Tensors:
        """The rows at positions `chosen` [B], padded to the longest of them."""
        if self.starts is None:
            return {name: tensor.index_select(0, chosen) for name, tensor in self.tensors.items()}
        starts, rows = self.starts.numpy(), chosen.numpy()  # of NumPy, as in a small batch torch's calls cost far more
        begins = starts[rows]
        lengths = starts[rows + 1] - begins
        mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
        sources = np.arange(lengths.sum()) + np.repeat(begins - (lengths.cumsum() - lengths), lengths)
        taken: Tensors = {}
        for name, tensor in self.tensors.items():
            if name in self.flat:
                values = tensor.numpy()
                padded = np.zeros((*mask.shape, *values.shape[1:]), values.dtype)
                padded[mask] = values[sources]
                taken[name] = torch.from_numpy(padded)
            else:
                taken[name] = tensor.index_select(0, chosen)
        return {**taken, "mask": torch.from_numpy(mask)}


class Gathering:
    """`rows` packed rows, part by part. Where all have one length, each part is copied to its place as it comes: many
    rows are then not held twice."""

    def __init__(self, rows: int) -> None:
        self._rows, self._filled = rows, 0
        self._parts: list[Packed] = []
        self._whole: Tensors = {}

    def add(self, part: Packed) -> None:
        if part.starts is not None or part.rows == self._rows:
            self._parts.append(part)
            return
        if not self._whole:
            self._whole = {name: rows.new_empty((self._rows, *rows.shape[1:])) for name, rows in part.tensors.items()}
        for name, rows in part.tensors.items():
            self._whole[name][self._filled : self._filled + part.rows] = rows
        self._filled += part.rows

    def packed(self) -> Packed:
        """All of them, in the order in which they came."""
        if self._parts:
            return Packed.joined(self._parts)
        assert self._filled == self._rows, "fewer rows came than were announced: this is a bug"
        return Packed(self._whole)
