"""Rows of numbers, scaled by what the training split showed. Knows nothing of where the rows came from.

Legend: `B` batch, `W` width (numbers per row).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import DoesNotFit, EmptyInput, NonFinite, OutOfRange, WrongShape, WrongType
from app.ml.columns import FittedTable, Places, TableColumn, columns_of
from app.ml.modalities.base import Column, Fitted, Layout, Modality, Shape, Tensors
from app.ml.spread import Reservoir, Spread

Scaling = Literal["standard", "minmax", "robust", "none", "unit"]

LARGEST = float(np.finfo(np.float32).max)
SMALLEST_SCALE = 1e-30
"""A column that varies by less is taken as constant: float32 could not divide by it."""
PIXELS = 100
"""Columns from which a table may be one of pixels: of each by itself, a few rare ones would become the loudest."""
NEAR = 0.9
"""Share of the largest value that counts as near it."""
FARTHEST = 1e6
"""Scaled values are cut here: no row, however far out, overflows a network, and it stays an outlier all the same."""


class Vectors(Modality):
    """Rows of numbers, all of one width."""

    name: Literal["vectors"] = "vectors"
    """Rows of numbers."""
    layout: ClassVar[Layout] = "vector"
    scaling: Literal["auto", "standard", "minmax", "robust", "none", "unit"] = "auto"
    """`standard` gives every column mean 0 and deviation 1; `robust` uses the median and the spread of the middle half,
    for data with wild outliers; `minmax` maps every column's training range to 0…1; `unit` divides all columns by the
    largest training value, for pixels and counts (values beyond it are cut); `none` leaves rows as they are. A column
    that never changes becomes 0. `auto` is `unit` for 100 columns or more that look like pixels, since the least value
    is 0 and most of them come near the largest one, and `standard` for all other data."""

    columns: tuple[TableColumn, ...] | None = None
    """Names of the columns and of their categories. They are the dataset's: leave them out."""

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """With the dataset's columns, where some hold categories or have gaps."""
        found = columns_of(facts)
        if self.columns is None:
            return self.model_copy(update={"columns": found})
        if found not in (None, self.columns):
            raise DoesNotFit(
                "modality.columns: are not those of the dataset, which has other columns or categories",
                param="modality.columns",
            )
        return self

    @classmethod
    def together(cls, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
        joint = super().together(one, other)
        for facts, whose in ((one, "the other's"), (other, "its")):
            if facts.get("constant"):
                raise DoesNotFit(f"{whose} constant columns were left out; make both with cleaning.constant 'keep'")
        names = [list(facts.get("names", ())) for facts in (one, other)]
        if names[0] != names[1] and all(len(each) > 1 for each in names):
            mine, theirs = next((a, b) for a, b in zip_longest(*names) if a != b)
            raise DoesNotFit(f"it has a column {theirs!r} where the other has {mine!r}")
        given = [columns_of(facts) for facts in (one, other)]
        named = [[column for column in each or () if column.categories is not None] for each in given]
        for mine, theirs in zip_longest(*named):
            if mine != theirs:
                raise DoesNotFit(f"the names of its category {(theirs or mine).name!r} are not the same")
        described = one if given[0] is not None else other
        return joint | ({"columns": described["columns"]} if described.get("columns") else {})

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        if self.columns is None:
            return super().expected(facts)
        return Shape("vector", (sum(len(column.categories or " ") for column in self.columns),))

    def fit(self, columns: Iterable[Column]) -> "FittedVectors | FittedTable":
        if self.columns is None:
            return self._scaled(columns, Reservoir())
        places, sample = Places(self.columns), Reservoir()
        numbers = self._scaled(places.watched(iter(columns)), sample, gaps=True)
        return FittedTable(self, numbers, places, sample.middle()[0].tolist())

    def _scaled(self, columns: Iterable[Column], sample: Reservoir, *, gaps: bool = False) -> "FittedVectors":
        spread = Spread(gaps=gaps)
        for column in columns:
            spread.add(column)
            if gaps or self.scaling == "robust":
                sample.add(column)
        if spread.rows == 0:
            raise OutOfRange("there are no training rows to learn the scaling from", param="dataset")
        if not np.isfinite(spread.mean).all():
            raise NonFinite(
                "the training rows hold a NaN or an infinity; every value must be a number", param="dataset"
            )
        scaling: Scaling = self.scaling if self.scaling != "auto" else "unit" if _are_pixels(spread) else "standard"
        offset, scale = np.zeros_like(spread.mean), np.ones_like(spread.mean)
        if scaling == "standard":
            offset, scale = spread.mean, spread.deviation
        elif scaling == "minmax":
            offset, scale = spread.low, spread.high - spread.low
        elif scaling == "robust":
            offset, scale = sample.middle()
            # a column that is mostly one value has no middle spread, and still varies
            scale = np.where(scale < SMALLEST_SCALE, spread.deviation, scale)
        elif scaling == "unit":
            if spread.low.min(initial=0) < 0:
                raise OutOfRange(
                    f"scaling 'unit' needs values of at least 0, and the smallest is {spread.low.min():g}; "
                    "'standard' or 'minmax' can take it",
                    param="modality.scaling",
                )
            scale = np.full_like(scale, spread.high.max(initial=0))
        scale = np.where(scale < SMALLEST_SCALE, 1.0, np.minimum(scale, LARGEST))
        return FittedVectors(self, scaling, offset, scale)

    def restore(self, state: dict[str, Any]) -> "FittedVectors | FittedTable":
        if self.columns is not None:
            places = Places(self.columns)
            places.holed |= np.array(state["holed"], np.bool_)
            numbers = self.model_copy(update={"columns": None}).restore(state["numbers"])
            return FittedTable(self, numbers, places, state["medians"])
        return FittedVectors(self, state["scaling"], np.asarray(state["offset"]), np.asarray(state["scale"]))


class FittedVectors(Fitted):
    """Subtracts an offset and divides by a scale, per column."""

    takes_arrays: ClassVar[bool] = True

    def __init__(
        self, settings: Vectors, scaling: Scaling, offset: NDArray[np.float64], scale: NDArray[np.float64]
    ) -> None:
        self.settings = settings
        self.shape = Shape("vector", (len(offset),), bounded=scaling == "unit")
        self._scaling: Scaling = scaling
        self._offset, self._scale = offset, scale
        self._offset32, self._scale32 = offset.astype(np.float32), scale.astype(np.float32)
        limits = {"none": (-LARGEST, LARGEST), "unit": (0.0, 1.0)}
        self._limits = limits.get(scaling, (-FARTHEST, FARTHEST))

    def state(self) -> dict[str, Any]:
        return {"scaling": self._scaling, "offset": self._offset.tolist(), "scale": self._scale.tolist()}

    def read(self, items: Any) -> Column:
        """A vector, a list of vectors, or an array [W] or [B, W], to float32 [B, W]."""
        if isinstance(items, np.ndarray):
            return self._finite(self._read_array(items), alone=items.ndim == 1)
        if not isinstance(items, Sequence) or isinstance(items, str | bytes):
            raise WrongType(
                f"input: expected a list of {self.shape.count} numbers or a list of such lists, "
                f"got {type(items).__name__}",
                param="input",
            )
        if len(items) == 0:
            raise EmptyInput("input: is empty; give at least one vector", param="input")
        alone = not isinstance(items[0], list | tuple | np.ndarray)
        rows = [items] if alone else items
        for index, row in enumerate(rows):
            self._check_row(row, "input" if alone else f"input[{index}]")
        try:
            column = np.array(rows, dtype=np.float64)
        except OverflowError:  # an integer of more than 308 digits
            column = np.array([[_as_float(value) for value in row] for row in rows])
        return self._finite(column, alone)

    def encode(self, column: Column) -> Tensors:
        low, high = self._limits
        with np.errstate(over="ignore"):
            values: NDArray[np.float32] = np.subtract(column, self._offset32, dtype=np.float32)
            np.divide(values, self._scale32, out=values)
        np.minimum(np.maximum(values, low, out=values), high, out=values)
        return {"values": torch.from_numpy(values)}

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Lists of numbers in the unit of the data."""
        rows = values.detach().cpu().double().numpy() * self._scale + self._offset
        return list(rows.clip(-LARGEST, LARGEST).astype(np.float32).tolist())

    def _check_row(self, row: Any, name: str) -> None:
        if isinstance(row, np.ndarray):
            self._read_array(row[None] if row.ndim == 1 else row, name)
            return
        if not isinstance(row, list | tuple):
            raise WrongType(f"{name}: expected a list of numbers, got {type(row).__name__}", param=name)
        if not set(map(type, row)) <= {float, int}:
            place, value = next((i, v) for i, v in enumerate(row) if type(v) not in (float, int))
            raise WrongType(f"{name}: expected numbers, got {value!r:.100} at position {place}", param=name)
        if len(row) != self.shape.count:
            raise WrongShape(f"{name}: has {len(row)} numbers; the model reads {self.shape.count}", param=name)

    def _read_array(self, array: NDArray[Any], name: str = "input") -> NDArray[Any]:
        if array.dtype.kind not in "fiu":
            raise WrongType(f"{name}: expected an array of numbers, got one of {array.dtype}", param=name)
        rows = array[None] if array.ndim == 1 else array
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
        with np.errstate(over="ignore"):
            narrow: Column = column.astype(np.float32)
            flat = narrow.ravel()
            squares = float(flat @ flat)  # quicker than a look at every number; finite when all of them are small
        if not math.isfinite(squares) and not np.isfinite(narrow).all():
            index, place = np.argwhere(~np.isfinite(narrow))[0]
            name = "input" if alone else f"input[{index}]"
            value = column[index, place]
            wrong = "is beyond the range of 32-bit floats (3.4e38)" if np.isfinite(value) else "is not a finite number"
            raise NonFinite(f"{name}: {value} at position {place} {wrong}", param=name)
        return narrow


def _are_pixels(spread: Spread) -> bool:
    """Whether columns have one unit: the least value of all is 0, and most that change come near the largest."""
    if len(spread.high) < PIXELS or spread.low.min() != 0:
        return False
    changing = spread.high[spread.high > spread.low]
    return bool(len(changing)) and float((changing >= NEAR * changing.max()).mean()) > 1 / 2


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
