"""Rows of numbers: read from requests, scaled by column, and back.

Legend: `B` batch, `W` width (numbers per row).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import EmptyInput, MissingKey, NonFinite, WrongShape, WrongType
from app.json_words import told, told_kind
from app.ml.modalities.base import Fitted, Modality
from app.ml.modalities.parts.columns import check_names, listed
from app.ml.tensors.finite import all_finite
from app.ml.tensors.shapes import Arrays, Column, Shape, Tensors, as_tensors

Scaling = Literal["standard", "minmax", "robust", "none", "unit"]

LARGEST = float(np.finfo(np.float32).max)
FARTHEST = 1e6
"""Scaled values are cut here: no row, however far out, overflows a network, and it stays an outlier all the same."""


class FittedVectors(Fitted):
    """Subtracts an offset and divides by a scale, per column."""

    takes_arrays: ClassVar[bool] = True
    scales: ClassVar[bool] = True

    def __init__(
        self,
        settings: Modality,
        scaling: Scaling,
        offset: NDArray[np.float64],
        scale: NDArray[np.float64],
        names: Sequence[str] | None = None,
        channels: int | None = None,
    ) -> None:
        """`names` are those of the columns, where they have some; `channels` those of a series."""
        self.settings = settings
        self._names = None if names is None else dict.fromkeys(names)  # looked up for every key of every row
        self.shape = Shape("vector", (len(offset),), bounded=scaling == "unit", channels=channels)
        self._scaling: Scaling = scaling
        self._offset, self._scale = offset, scale
        self._offset32, self._scale32 = offset.astype(np.float32), scale.astype(np.float32)
        self._moves = bool(self._offset32.any())  # else there is nothing to subtract
        limits = {"none": (-LARGEST, LARGEST), "unit": (0.0, 1.0)}
        self._limits = limits.get(scaling, (-FARTHEST, FARTHEST))

    def state(self) -> dict[str, Any]:
        return {"scaling": self._scaling, "offset": self._offset.tolist(), "scale": self._scale.tolist()}

    def read(self, items: Any) -> Column:
        """A vector, a list of vectors, or an array [W] or [B, W], to float32 [B, W].

        Where the columns have names, a vector may be an object by these.
        """
        if isinstance(items, np.ndarray):
            return self._finite(self._read_array(items), alone=items.ndim == 1)
        if isinstance(items, Mapping):
            items = self._in_order(items, "input")
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise WrongType(
                f"input: expected a list of {self.shape.count} numbers or a list of such lists, got {told_kind(items)}",
                param="input",
            )
        if len(items) == 0:
            raise EmptyInput("input: is empty; give at least one vector", param="input")
        alone = not isinstance(items[0], list | tuple | np.ndarray | Mapping)
        rows = [items] if alone else items
        if any(isinstance(row, Mapping) for row in rows):
            rows = [
                self._in_order(row, f"input[{index}]") if isinstance(row, Mapping) else row
                for index, row in enumerate(rows)
            ]
        for index, row in enumerate(rows):
            self._check_row(row, "input" if alone else f"input[{index}]")
        try:
            column = np.array(rows, dtype=np.float64)
        except OverflowError:  # an integer of more than 308 digits
            column = np.array([[_as_float(value) for value in row] for row in rows])
        return self._finite(column, alone)

    def encode(self, column: Column) -> Tensors:
        return as_tensors(self.arrays(column))

    def arrays(self, column: Column) -> Arrays:
        with np.errstate(over="ignore"):
            moved = np.subtract(column, self._offset32, dtype=np.float32) if self._moves else column
            values: NDArray[np.float32] = np.divide(moved, self._scale32, dtype=np.float32)
            low, high = self._limits
            if low == -high and np.vdot(values, values) < high**2:  # quicker than to look at every number
                return {"values": values}
        return {"values": values.clip(low, high, out=values)}

    def scaled(self, raw: Tensor) -> Tensor:
        offset, scale = torch.from_numpy(self._offset32), torch.from_numpy(self._scale32)
        return ((raw - offset) / scale).clamp(*self._limits)

    def unscaled(self, values: Tensor) -> Tensor:
        return values * torch.from_numpy(self._scale32) + torch.from_numpy(self._offset32)

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Lists of numbers in the unit of the data."""
        rows = values.detach().cpu().double().numpy() * self._scale + self._offset
        return list(rows.clip(-LARGEST, LARGEST).astype(np.float32).tolist())

    def _in_order(self, item: Mapping[str, Any], name: str) -> list[Any]:
        """The numbers of an object in the order of the columns."""
        names = self._names
        if names is None:
            raise WrongType(
                f"{name}: is an object, and the model's columns have no names; give a list of "
                f"{self.shape.count} numbers",
                param=name,
            )
        check_names(item, names, name)
        for known in names:
            if known not in item:
                raise MissingKey(f"{name}: lacks {known!r}; the columns are {listed(list(names))}", param=name)
        return [item[known] for known in names]

    def _check_row(self, row: Any, name: str) -> None:
        if isinstance(row, np.ndarray):
            self._read_array(row, name)
            return
        if not isinstance(row, list | tuple):
            raise WrongType(f"{name}: expected a list of numbers, got {told_kind(row)}", param=name)
        if not set(map(type, row)) <= {float, int}:
            place, value = next((i, v) for i, v in enumerate(row) if type(v) not in (float, int))
            given = f"null at {self._place(place)}, and the model learned from rows without gaps"
            if value is not None:
                given = f"{told(value)} at {self._place(place)}"
            if isinstance(value, list | tuple):
                order = ", step after step" if self.shape.channels else ""
                given = (
                    f"a list at {self._place(place)}; give the {self.shape.count} numbers of a row in one list{order}"
                )
            raise WrongType(f"{name}: expected numbers, got {given}", param=name)
        self._check_count(len(row), name)

    def _check_count(self, count: int, name: str) -> None:
        if count != self.shape.count:
            raise WrongShape(f"{name}: has {count} numbers; the model reads {self.shape.count}", param=name)

    def _read_array(self, array: NDArray[Any], name: str = "input") -> NDArray[Any]:
        if array.dtype.kind not in "fiu":
            raise WrongType(f"{name}: expected an array of numbers, got one of {array.dtype}", param=name)
        rows = array[None] if array.ndim == 1 else array
        if rows.size > 0 and rows.ndim == 2:  # numbers of a JSON body come in lists or in an array
            self._check_count(rows.shape[1], name if array.ndim == 1 else f"{name}[0]")
        if rows.ndim != 2 or rows.shape[1] != self.shape.count:
            raise WrongShape(
                f"{name}: has shape {list(array.shape)}; the model reads [{self.shape.count}] "
                f"or [rows, {self.shape.count}]",
                param=name,
            )
        if len(rows) == 0:
            raise EmptyInput(f"{name}: has no rows; give at least one vector", param=name)
        return rows

    def _finite(self, column: NDArray[Any], alone: bool) -> Column:
        narrow: Column = column
        if column.dtype != np.float32:
            with np.errstate(over="ignore"):
                narrow = column.astype(np.float32)
        if not all_finite(narrow):
            index, place = np.argwhere(~np.isfinite(narrow))[0]
            name = "input" if alone else f"input[{index}]"
            value = column[index, place]
            wrong = "is beyond the range of 32-bit floats (3.4e38)" if np.isfinite(value) else "is not a finite number"
            raise NonFinite(f"{name}: {value} at {self._place(int(place))} {wrong}", param=name)
        return narrow

    def _place(self, place: int) -> str:
        """Of a number in a row, with its column's name where it has one."""
        names = list(self._names or ())
        return f"position {place}" + (f" ({names[place]!r})" if place < len(names) else "")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
