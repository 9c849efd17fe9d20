"""Any number of labels per row, for targets: which of the dataset's tags a row has. Knows no network.

Legend: `B` batch, `K` tags.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import DoesNotFit, EmptyInput, OutOfRange, UnknownChoice, WrongType
from app.json_words import told
from app.ml.modalities.base import Fitted, Modality
from app.ml.plugins import Several
from app.ml.tensors.shapes import Layout, Shape, Tensors
from app.ragged import Ragged

CHOSEN = 0.5
"""Score from which on a tag is among an answer's labels."""


class Tags(Modality):
    """Any number of labels per row."""

    name: Literal["tags"] = "tags"
    """Any number of labels per row."""
    layout: ClassVar[Layout] = "tags"

    labels: Several[str] | None = None
    """Names of the tags by their positions. They are the dataset's: leave them out."""

    def fit(self, columns: Iterable[Ragged]) -> "FittedTags":
        """Raises OutOfRange when no training row has a tag."""
        if not sum(len(column.flat) for column in columns):
            raise OutOfRange("no training row has a tag; at least one has to", param="dataset")
        return FittedTags(self)

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """With the names that the dataset's positions stand for."""
        return self.model_copy(update={"labels": own_labels(self.labels, facts)})

    @classmethod
    def moved(cls, column: Ragged, own: Mapping[str, Any], joint: Mapping[str, Any]) -> Ragged:
        return Ragged(places_among(own, joint)[column.values], column.offsets)

    def restore(self, state: dict[str, Any]) -> "FittedTags":
        return FittedTags(self)


class FittedTags(Fitted):
    """1 where a row has the tag."""

    def __init__(self, settings: Tags) -> None:
        assert settings.labels is not None, "the profile names the tags; this is a bug"
        self.settings = settings
        self.labels = settings.labels
        self.shape = Shape("tags", (len(self.labels),), bounded=True)
        self._positions = {label: position for position, label in enumerate(self.labels)}

    def state(self) -> dict[str, Any]:
        return {}  # the names stand in the settings

    def read(self, items: Any) -> Ragged:
        """The labels of one row, a list of such lists, or answers as `render` gives them, to positions."""
        if isinstance(items, Ragged):
            return items
        if isinstance(items, np.ndarray):
            return Ragged.of([items])
        if not isinstance(items, list | tuple | Mapping):
            raise WrongType(f"input: expected a list of labels or of such lists, got {told(items)}", param="input")
        if len(items) == 0:
            raise EmptyInput("input: is empty; give the labels of at least one row", param="input")
        if isinstance(items, Mapping) or isinstance(items[0], str):
            return Ragged.of([self._read_row(items, "input")])
        return Ragged.of([self._read_row(item, f"input[{index}]") for index, item in enumerate(items)])

    def encode(self, column: Ragged) -> Tensors:
        """[B, K] float32, 1 where the row has the tag."""
        values = torch.zeros(len(column), len(self.labels))
        values[torch.from_numpy(column.owners), torch.from_numpy(column.flat.astype(np.int64))] = 1
        return {"values": values}

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """`{"labels": […], "scores": {…}}` from scores [B, K]; `labels` has those of at least CHOSEN, best first."""
        answers = []
        for row in values.detach().float().cpu().tolist():
            scores = dict(zip(self.labels, row, strict=True))
            best = sorted(self.labels, key=scores.__getitem__, reverse=True)
            answers.append({"labels": [label for label in best if scores[label] >= CHOSEN], "scores": scores})
        return answers

    def _read_row(self, item: Any, name: str) -> NDArray[np.int32]:
        labels = item.get("labels") if isinstance(item, Mapping) else item
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise WrongType(f"{name}: expected a list of labels (strings), got {told(labels)}", param=name)
        for label in labels:
            if label not in self._positions:
                raise UnknownChoice(f"{name}: unknown label {label!r:.100}; {known(self.labels)}", param=name)
        return np.array([self._positions[label] for label in labels], np.int32)


def own_labels(asked: tuple[str, ...] | None, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The dataset's names. Raises DoesNotFit when others were asked for."""
    labels = tuple(facts["labels"])
    if asked not in (None, labels):
        raise DoesNotFit(f"labels are the dataset's own: {known(labels)}; leave them out", param="labels")
    return labels


def places_among(own: Mapping[str, Any], joint: Mapping[str, Any]) -> NDArray[np.int32]:
    """Where the dataset's names stand among those of several datasets."""
    places = {label: place for place, label in enumerate(joint["labels"])}
    return np.array([places[label] for label in own["labels"]], np.int32)


def known(labels: tuple[str, ...]) -> str:
    """The names as an error lists them."""
    shown = ", ".join(repr(label) for label in labels[:20])
    return f"known are {shown}" + (f" and {len(labels) - 20} more" if len(labels) > 20 else "")
