"""Numbers to be predicted, for targets: one per row, standardised by the training split. Knows no network.

Legend: `B` batch, `N` rows of a piece.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import EmptyInput, NonFinite, OutOfRange, WrongShape, WrongType
from app.json_words import told
from app.ml.modalities.base import Fitted, Modality
from app.ml.modalities.parts.spread import Spread
from app.ml.tensors.shapes import Column, Layout, Shape, Tensors

SMALLEST_SCALE = 1e-30
"""Numbers that vary by less are taken as all the same: float32 could not divide by it."""


class Numbers(Modality):
    """One number per row."""

    name: Literal["numbers"] = "numbers"
    """One number per row."""
    layout: ClassVar[Layout] = "numbers"

    def fit(self, columns: Iterable[Column]) -> "FittedNumbers":
        spread = Spread()
        for column in columns:
            spread.add(column[~np.isnan(column)][:, None])
        if spread.rows == 0:
            raise OutOfRange("every training row withholds its number", param="dataset")
        if not np.isfinite(spread.mean).all():
            raise NonFinite("the training rows hold an infinity; every number must be finite", param="dataset")
        mean, deviation = float(spread.mean[0]), float(spread.deviation[0])
        if deviation < SMALLEST_SCALE:
            raise OutOfRange(
                f"the training rows all have the number {mean:g}; at least 2 different ones are needed", param="dataset"
            )
        return FittedNumbers(self, mean, deviation)

    def restore(self, state: dict[str, Any]) -> "FittedNumbers":
        return FittedNumbers(self, state["mean"], state["deviation"])


class FittedNumbers(Fitted):
    """Subtracts the training mean and divides by the training deviation."""

    def __init__(self, settings: Numbers, mean: float, deviation: float) -> None:
        self.settings = settings
        self.shape = Shape("numbers", (1,))
        self._mean, self._deviation = mean, deviation

    def state(self) -> dict[str, Any]:
        return {"mean": self._mean, "deviation": self._deviation}

    def read(self, items: Any) -> Column:
        """A number, a list of numbers, or of answers as `render` gives them, to float32 [B]."""
        if isinstance(items, np.ndarray):
            return _finite(items)
        given = items if isinstance(items, list | tuple) else [items]
        if len(given) == 0:
            raise EmptyInput("input: is empty; give at least one number", param="input")
        numbers = np.empty(len(given))
        for index, item in enumerate(given):
            name = f"input[{index}]" if given is items else "input"
            number = item.get("value") if isinstance(item, Mapping) else item
            if not isinstance(number, int | float | np.floating) or isinstance(number, bool):
                raise WrongType(f"{name}: expected a number, got {told(number)}", param=name)
            try:
                numbers[index] = number
            except OverflowError:  # an integer of more than 308 digits
                numbers[index] = np.inf if number > 0 else -np.inf
        return _finite(numbers)

    def encode(self, column: Column) -> Tensors:
        """Standardised numbers [B, 1] float32. Raises NonFinite for one that is withheld."""
        if np.isnan(column).any():
            row = int(np.flatnonzero(np.isnan(column))[0])
            raise NonFinite(f"row {row} of a batch withholds its number; it cannot be learned from", param="target")
        scaled = (column.astype(np.float64) - self._mean) / self._deviation
        return {"values": torch.from_numpy(scaled.astype(np.float32)[:, None])}

    def unscaled(self, values: Tensor) -> Tensor:
        return values * self._deviation + self._mean

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """`{"value": …}` in the unit of the data, from [B, 1]."""
        rows = values.detach().cpu().double()[:, 0] * self._deviation + self._mean
        return [{"value": number} for number in rows.tolist()]


def _finite(numbers: NDArray[Any]) -> Column:
    if numbers.dtype.kind not in "fiu" or numbers.ndim > 1:
        what = f"an array {list(numbers.shape)} of {numbers.dtype}"
        raise WrongShape(f"input: expected a number or a list of numbers, got {what}", param="input")
    with np.errstate(over="ignore"):
        column = np.atleast_1d(numbers).astype(np.float32)
    if not np.isfinite(column).all():
        index = int(np.flatnonzero(~np.isfinite(column))[0])
        raise NonFinite(f"input[{index}]: {np.atleast_1d(numbers)[index]} is no finite 32-bit number", param="input")
    return column
