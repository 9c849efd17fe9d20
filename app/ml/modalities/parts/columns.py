"""Rows of a table whose columns are numbers or categories, with gaps: read from requests, coded for networks, and back.

In a raw row a category is its position among the column's names, and NaN is a gap. Coded, a row is first its scaled
numbers, gaps filled with the training median; then a number per name of every category, 1 for the row's own and 0
everywhere for a gap; then a 1 per gap, for the columns of numbers that had any in training.
Legend: `B` batch, `W` columns, `N` columns of numbers, `K` names of all categories together, `G` columns with gaps.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import EmptyInput, NonFinite, UnknownChoice, UnknownKey, WrongShape, WrongType
from app.json_words import told, told_kind
from app.ml.modalities.base import Fitted, Modality
from app.ml.plugins import Settings, Several
from app.ml.tensors.shapes import Column, Shape, Tensors

HALF = 0.5
FARTHEST = float(np.finfo(np.float32).max)


class TableColumn(Settings):
    """A column of a dataset."""

    name: str
    """Its name in the files."""
    categories: Several[str] | None = None
    """Names of a category, by the positions that are stored; null for numbers."""


def columns_of(facts: Mapping[str, Any]) -> tuple[TableColumn, ...] | None:
    """What the profile says of a role's columns; None where all of them are numbers without gaps."""
    given = facts.get("columns")
    if given is None:
        return None
    return tuple(TableColumn(name=column["name"], categories=column.get("categories")) for column in given)


def listed(names: Sequence[str]) -> str:
    """The first names of columns, and how many more there are."""
    more = len(names) - 10
    return ", ".join(map(repr, names[:10])) + (f" and {more} more" if more > 0 else "")


def check_names(row: Mapping[str, Any], names: Collection[str], where: str) -> None:
    """Raises UnknownKey for a key of the row that names no column."""
    for key in row:
        if key not in names:
            columns = listed(list(names))
            raise UnknownKey(f"{where}: has {key!r:.100}, which is no column; the columns are {columns}", param=where)


class Places:
    """Where the numbers and the categories of a raw row stand."""

    def __init__(self, columns: Sequence[TableColumn]) -> None:
        self.columns = columns
        self.numbers = np.array([at for at, column in enumerate(columns) if column.categories is None], np.int64)
        self.categories = np.array([at for at, column in enumerate(columns) if column.categories is not None], np.int64)
        self.names = [columns[at].categories or () for at in self.categories.tolist()]
        self.starts = np.cumsum([0, *map(len, self.names)])
        """[categories + 1]: where the names of each begin among the K."""
        self.holed = np.zeros(len(self.numbers), np.bool_)
        """Which columns of numbers have had gaps so far."""

    def watched(self, columns: Iterator[Column]) -> Iterator[Column]:
        """The columns of numbers [n, N] of raw pieces; notes where there are gaps."""
        for column in columns:
            numbers = column[:, self.numbers]
            self.holed |= np.isnan(numbers).any(axis=0)
            yield numbers


class FittedTable(Fitted):
    """Numbers as `numbers` scales them, with gaps filled and told, and categories one by one."""

    scales: ClassVar[bool] = True

    def __init__(self, settings: Modality, numbers: Fitted, places: Places, medians: Sequence[float]) -> None:
        self.settings, self.numbers, self.places = settings, numbers, places
        self._medians = np.asarray(medians, np.float32)
        self._holed = np.flatnonzero(places.holed)
        self._known = [{name: at for at, name in enumerate(names)} for names in places.names]
        self._at = {column.name: at for at, column in enumerate(places.columns)}
        self._splits = [len(places.numbers), int(places.starts[-1]), len(self._holed)]
        self.shape = Shape("vector", (sum(self._splits),), bounded=numbers.shape.bounded)
        owners = [places.numbers, np.repeat(places.categories, np.diff(places.starts)), places.numbers[self._holed]]
        self.columns = torch.from_numpy(np.concatenate(owners))

    def state(self) -> dict[str, Any]:
        return {
            "numbers": self.numbers.state(),
            "medians": self._medians.tolist(),
            "holed": self.places.holed.tolist(),
        }

    def read(self, items: Any) -> Column:
        """A row, a list of rows or raw rows [B, W] to float32 [B, W].

        A row is a list in the order of the profile's `input.columns`, or an object by their names (what is absent is a
        gap): numbers, the names of categories, null for gaps.
        """
        if isinstance(items, np.ndarray) and items.dtype.kind in "fiu":
            return self._raw(items)
        if isinstance(items, Mapping) and items:
            return np.stack([self._row(items, "input")])
        if not isinstance(items, list | tuple | np.ndarray):
            raise WrongType(f"input: expected {self._expected()}, got {told_kind(items)}", param="input")
        if len(items) == 0:
            raise EmptyInput("input: is empty; give at least one row", param="input")
        if not isinstance(items[0], list | tuple | np.ndarray | Mapping):
            return np.stack([self._row(items, "input")])
        return np.stack([self._row(item, f"input[{index}]") for index, item in enumerate(items)])

    def encode(self, column: Column) -> Tensors:
        numbers = column[:, self.places.numbers]
        gaps = np.isnan(numbers)
        scaled = self.numbers.encode(np.where(gaps, self._medians, numbers))["values"]
        codes = column[:, self.places.categories]
        rows, at = np.nonzero(~np.isnan(codes))
        named = np.zeros((len(column), self._splits[1]), np.float32)
        named[rows, self.places.starts[at] + codes[rows, at].astype(np.int64)] = 1
        told = torch.from_numpy(gaps[:, self._holed].astype(np.float32))
        return {"values": torch.cat([scaled, torch.from_numpy(named), told], 1)}

    def scaled(self, raw: Tensor) -> Tensor:
        numbers = raw[:, torch.from_numpy(self.places.numbers)]
        gaps = numbers.isnan()
        scaled = self.numbers.scaled(torch.where(gaps, torch.from_numpy(self._medians), numbers))
        coded = [
            raw[:, at, None] == torch.arange(len(names))
            for at, names in zip(self.places.categories.tolist(), self.places.names, strict=True)
        ]
        told = gaps[:, torch.from_numpy(self._holed)]
        return torch.cat([scaled, *(part.float() for part in [*coded, told])], 1)

    def unscaled(self, values: Tensor) -> Tensor:
        """Numbers in their unit; categories and gaps stay what is told of each."""
        count = len(self.places.numbers)
        return torch.cat([self.numbers.unscaled(values[:, :count]), values[:, count:]], 1)

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Lists of numbers in the unit of the data, of names, and of null where a gap is likelier than not."""
        scaled, named, told = torch.split(values.detach().float().cpu(), self._splits, 1)
        numbers, gaps = self.numbers.render(scaled), (told > HALF).tolist()
        answers: list[list[Any]] = [[None] * len(self.places.columns) for _ in numbers]
        for answer, row, holes in zip(answers, numbers, gaps, strict=True):
            for at, number in zip(self.places.numbers, row, strict=True):
                answer[at] = number
            for place, hole in zip(self.places.numbers[self._holed], holes, strict=True):
                answer[place] = None if hole else answer[place]
        for place, names, first in zip(self.places.categories, self.places.names, self.places.starts, strict=False):
            scores = named[:, first : first + len(names)]
            for answer, best, sure in zip(answers, scores.argmax(1).tolist(), scores.sum(1).tolist(), strict=True):
                answer[place] = names[best] if sure > HALF else None
        return list(answers)

    def _raw(self, rows: NDArray[Any]) -> Column:
        column = np.atleast_2d(rows).astype(np.float32)
        if column.ndim != 2 or column.shape[1] != len(self.places.columns):
            raise WrongShape(f"input: has shape {list(rows.shape)}; expected {self._expected()}", param="input")
        if len(column) == 0:
            raise EmptyInput("input: is empty; give at least one row", param="input")
        if np.isinf(column).any():
            raise NonFinite("input: holds an infinity; a gap is NaN", param="input")
        for at, known in zip(self.places.categories, self._known, strict=True):
            codes = column[:, at][~np.isnan(column[:, at])]
            if not np.isin(codes, np.arange(len(known))).all():
                raise UnknownChoice(
                    f"input: column {self.places.columns[at].name!r} holds categories, by positions from 0 to "
                    f"{len(known) - 1}",
                    param="input",
                )
        return column

    def _row(self, item: Any, name: str) -> NDArray[np.float32]:
        """[W]"""
        width = len(self.places.columns)
        if isinstance(item, Mapping):
            check_names(item, self._at, name)
            item = [item.get(column.name) for column in self.places.columns]
        if not isinstance(item, list | tuple | np.ndarray):
            raise WrongType(f"{name}: expected {self._expected()}, got {told(item)}", param=name)
        if len(item) != width:
            raise WrongShape(f"{name}: has {len(item)} entries; expected {self._expected()}", param=name)
        row = np.full(width, np.nan)
        for at in self.places.numbers:
            row[at] = self._number(item[at], int(at), name)
        for at, known in zip(self.places.categories, self._known, strict=True):
            if item[at] is not None:
                row[at] = self._category(item[at], known, int(at), name)
        return row.astype(np.float32)

    def _number(self, given: Any, at: int, name: str) -> float:
        column = self.places.columns[at].name
        if given is None:
            return float("nan")
        if not isinstance(given, int | float | np.number):  # true is 1, as it is in a dataset
            raise WrongType(f"{name}: column {column!r} holds numbers, got {told(given)}{_gap(given)}", param=name)
        if not -FARTHEST <= given <= FARTHEST:  # NaN is not <= FARTHEST
            raise NonFinite(f"{name}: column {column!r}: {given!r:.100} is no finite 32-bit number", param=name)
        return float(given)

    def _category(self, given: Any, known: Mapping[str, int], at: int, name: str) -> int:
        column = self.places.columns[at].name
        if not isinstance(given, str):
            raise WrongType(f"{name}: column {column!r} holds names, got {told(given)}", param=name)
        found = known.get(given, known.get(given.strip()))  # blanks around a name were no part of it in the dataset
        if found is None:
            listed = ", ".join(map(repr, list(known)[:20])) + (" and more" if len(known) > 20 else "")
            problem = f"{name}: column {column!r} has no {given!r:.100}{_gap(given)}; known are {listed}"
            raise UnknownChoice(problem, param=name)
        return found

    def _expected(self) -> str:
        return f"{len(self.places.columns)} entries: {listed([column.name for column in self.places.columns])}"


def _gap(given: Any) -> str:
    """What to send where an empty text was meant to say that there is nothing."""
    return ", where null says that there is nothing" if isinstance(given, str) and not given.strip() else ""
