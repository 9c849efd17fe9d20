"""Labels as class numbers, for targets: `encode` and `render` agree on the order of labels. Knows no network."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from app.errors import EmptyInput, OutOfRange, UnknownChoice, WrongType
from app.json_words import told
from app.ml.modalities.base import Fitted, Modality
from app.ml.tensors.shapes import Column, Layout, Shape, Tensors

MOST = 65_536
"""Classes at most: a column of free text is no label."""


class Classes(Modality):
    """One label per row, out of those that the training split shows."""

    name: Literal["classes"] = "classes"
    """One label per row."""
    layout: ClassVar[Layout] = "classes"

    def fit(self, columns: Iterable[Column]) -> "FittedClasses":
        labels: set[str] = set()
        for column in columns:
            labels.update(pa.array(column, type=pa.string()).unique().drop_null().to_pylist())
            if len(labels) > MOST:
                raise OutOfRange(f"the training rows have more than {MOST} different labels", param="dataset")
        if len(labels) < 2:
            raise OutOfRange(
                f"the training rows have the labels {sorted(labels)}; at least 2 different ones are needed",
                param="dataset",
            )
        return FittedClasses(self, _in_order(labels))

    def restore(self, state: dict[str, Any]) -> "FittedClasses":
        return FittedClasses(self, state["labels"])


class FittedClasses(Fitted):
    """A fixed list of labels; a class number is a position in it."""

    def __init__(self, settings: Classes, labels: list[str]) -> None:
        self.settings = settings
        self.shape = Shape("classes", (len(labels),))
        self.labels = labels
        self._values = pa.array(labels, type=pa.string())

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def read(self, items: Any) -> Column:
        """A label, a list of labels, or of answers as `render` gives them, to an object column [B] of strings."""
        given = items if isinstance(items, list | tuple | np.ndarray) else [items]
        if len(given) == 0:
            raise EmptyInput("input: is empty; give at least one label", param="input")
        column = np.empty(len(given), dtype=object)
        for index, item in enumerate(given):
            name = f"input[{index}]" if given is items else "input"
            label = item.get("label") if isinstance(item, Mapping) else item
            if not isinstance(label, str):
                raise WrongType(f"{name}: expected a label (a string), got {told(label)}", param=name)
            if label not in self.labels:
                raise UnknownChoice(f"{name}: unknown label {label!r:.100}; {self._known()}", param=name)
            column[index] = label
        return column

    def encode(self, column: Column) -> Tensors:
        """Class numbers [B] int64. Raises UnknownChoice for a label that the training split did not show."""
        from pyarrow import compute  # here, since a process that only asks models never needs it

        given = pa.array(column, type=pa.string())
        numbers = compute.index_in(given, value_set=self._values)
        if numbers.null_count:
            unknown = given.filter(numbers.is_null()).unique().to_pylist()
            raise UnknownChoice(
                f"labels {unknown[:10]} are not among the training rows; {self._known()}", param="target"
            )
        return {"values": torch.from_numpy(numbers.to_numpy().astype(np.int64))}

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """The likeliest label, its score and all scores, from scores [B, classes]."""
        scores = values.detach().float().cpu().numpy()
        best = scores.argmax(axis=1)
        return [
            {
                "label": self.labels[place],
                "score": float(row[place]),
                "scores": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for place, row in zip(best, scores, strict=True)
        ]

    def _known(self) -> str:
        shown = ", ".join(repr(label) for label in self.labels[:20])
        return f"known are {shown}" + (f" and {len(self.labels) - 20} more" if len(self.labels) > 20 else "")


def _in_order(labels: set[str]) -> list[str]:
    """Sorted; by value when all are whole numbers, so that 10 comes after 9."""
    if all(label.removeprefix("-").isdecimal() and label.isascii() and len(label) < 20 for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)
