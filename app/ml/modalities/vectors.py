"""Rows of numbers, scaled by what the training split showed. Knows nothing of where the rows came from.

Legend: `B` batch, `W` width (numbers per row).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.errors import DoesNotFit, NonFinite, OutOfRange
from app.ml.modalities.base import FEW, Modality
from app.ml.modalities.parts.columns import FittedTable, Places, TableColumn, columns_of, listed
from app.ml.modalities.parts.rows import LARGEST, FittedVectors, Scaling
from app.ml.modalities.parts.spread import Reservoir, Spread
from app.ml.plugins import Several
from app.ml.series import channels as layout
from app.ml.tensors.shapes import Column, Layout, Shape

SMALLEST_SCALE = 1e-30
"""A column that varies by less is taken as constant: float32 could not divide by it."""
PIXELS = 100
"""Columns from which a table may be one of pixels: of each by itself, a few rare ones would become the loudest."""
NEAR = 0.9
"""Share of the largest value that counts as near it."""


class Vectors(Modality):
    """Rows of numbers, all of one width."""

    name: Literal["vectors"] = "vectors"
    """Rows of numbers."""
    layout: ClassVar[Layout] = "vector"
    scaling: Literal["auto", "standard", "minmax", "robust", "none", "unit"] = "auto"
    """`standard` gives every column mean 0 and deviation 1; `robust` uses the median and the spread of the middle half,
    for data with wild outliers; `minmax` maps every column's training range to 0…1; `unit` divides all columns by the
    largest training value, for pixels and counts (values beyond it are cut); `none` leaves rows as they are. A column
    that never changes becomes 0; of series, `standard` scales channels instead of columns. `auto` is `unit` for 100
    columns or more that look like pixels, since the least value is 0 and most of them come near the largest one, and
    `standard` for all other data."""

    columns: Several[TableColumn] | None = None
    """Names of the columns and of their categories. They are the dataset's: leave them out."""

    channels: int | None = Field(None, ge=1, le=65536)
    """Of rows that are series, one step after the other: numbers of each step, side by side. By default what the
    dataset's profile says of arrays of rows by steps by channels; 1 makes any table one of series."""

    names: Several[str] | None = None
    """Names of the columns where all of them are numbers. They are the dataset's: leave them out."""

    @classmethod
    def pretext_for(cls, facts: Mapping[str, Any], width: int | None) -> tuple[str, str]:
        if facts.get("channels") and (width is None or width > FEW):
            return "rocket", "rows are series"
        return super().pretext_for(facts, width)

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """With the dataset's columns, where some hold categories or have gaps.

        Raises DoesNotFit where the columns are others, or the same ones in another order.
        """
        for place, (mine, theirs) in enumerate(zip(self.names or (), facts.get("names", ()), strict=False)):
            if mine != theirs and (mine in facts["names"] or theirs in (self.names or ())):
                raise DoesNotFit(
                    f"column {place + 1} of the dataset is {theirs!r}, and of the model {mine!r}: "
                    "write the columns in the model's order",
                    param="dataset",
                )
        found = columns_of(facts)
        if self.columns is None:
            return self.model_copy(update={"columns": found})
        if found not in (None, self.columns):
            raise DoesNotFit(
                "modality.columns: are not those of the dataset, which has other columns or categories",
                param="modality.columns",
            )
        return self

    def named(self, facts: Mapping[str, Any]) -> Self:
        """With the dataset's names of columns and channels of series, where all columns hold numbers."""
        names = tuple(facts.get("names", ()))
        known = self.columns is None and len(names) == facts["shape"][0]
        channels = self.channels if self.columns is not None else self.channels or facts.get("channels")
        return self.model_copy(update={"names": names if known else None, "channels": channels})

    def difference(self, facts: Mapping[str, Any]) -> str:
        mine = self.names or [column.name for column in self.columns or ()]
        theirs = facts.get("names") or [column.name for column in columns_of(facts) or ()]
        lacking, more = [[name for name in a if name not in b] for a, b in ((mine, theirs), (theirs, mine))]
        told = [f"it lacks {listed(lacking)}"] if lacking else []
        told += [f"it has {listed(more)} besides"] if more else []
        return " and ".join(told) if mine and theirs else ""

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
            shape = super().expected(facts)
            layout.check(self.channels, shape.count, "modality.channels")
            return replace(shape, channels=self.channels)
        if self.channels is not None:
            raise DoesNotFit(
                "modality.channels: series are numbers without gaps and categories, and the dataset has some",
                param="modality.channels",
            )
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
            if self.channels is not None:
                offset, scale = _over_steps(offset, scale, self.channels)
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
        return FittedVectors(self, scaling, offset, scale, self.names, self.channels)

    def restore(self, state: dict[str, Any]) -> "FittedVectors | FittedTable":
        if self.columns is not None:
            places = Places(self.columns)
            places.holed |= np.array(state["holed"], np.bool_)
            numbers = self.model_copy(update={"columns": None}).restore(state["numbers"])
            return FittedTable(self, numbers, places, state["medians"])
        offset, scale = np.asarray(state["offset"]), np.asarray(state["scale"])
        return FittedVectors(self, state["scaling"], offset, scale, self.names, self.channels)


def _over_steps(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], channels: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Those of columns [W] as those of their channels: steps of a series stay comparable with each other."""
    means, deviations = mean.reshape(-1, channels), deviation.reshape(-1, channels)
    middle = means.mean(0)
    spread = np.sqrt((np.square(deviations) + np.square(means - middle)).mean(0))
    return np.tile(middle, len(means)), np.tile(spread, len(means))


def _are_pixels(spread: Spread) -> bool:
    """Whether columns have one unit: the least value of all is 0, and most that change come near the largest."""
    if len(spread.high) < PIXELS or spread.low.min() != 0:
        return False
    changing = spread.high[spread.high > spread.low]
    return bool(len(changing)) and float((changing >= NEAR * changing.max()).mean()) > 1 / 2
