"""What lies where in a picture, for targets: any number of boxes, each with its class. Knows no network.

Legend: `B` batch, `M` boxes of the picture that has most, `K` classes, `H`, `W` height and width in pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from app.errors import DoesNotFit, EmptyInput, NonFinite, OutOfRange, UnknownChoice, WrongShape, WrongType
from app.json_words import told
from app.ml.modalities.base import Fitted, Modality
from app.ml.modalities.tags import known, own_labels, places_among
from app.ml.plugins import Several
from app.ml.tensors.shapes import CORNERS, Layout, Shape, Tensors
from app.ragged import Ragged

FARTHEST = 1e9
"""Pixels from a picture's corner."""


class Boxes(Modality):
    """Boxes in a picture, each with its class."""

    name: Literal["boxes"] = "boxes"
    """Boxes in a picture, each with its class."""
    layout: ClassVar[Layout] = "boxes"
    alike: ClassVar[tuple[str, ...]] = ("picture",)

    labels: Several[str] | None = None
    """Names of the classes by their positions. They are the dataset's: leave them out."""
    picture: Annotated[tuple[int, int], Field(strict=False)] | None = None
    """Height and width of the dataset's pictures, in pixels. They are the dataset's: leave them out."""

    def fit(self, columns: Iterable[Ragged]) -> "FittedBoxes":
        """Raises OutOfRange when no training picture has a box."""
        most = max((int(column.lengths.max(initial=0)) for column in columns), default=0)
        if not most:
            raise OutOfRange("no training picture has a box; at least one has to", param="dataset")
        return FittedBoxes(self, most)

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """With the names that the dataset's positions stand for, and the size of the pictures that boxes lie in."""
        height, width = facts["picture"]
        if self.picture not in (None, (height, width)):
            raise DoesNotFit(f"picture is the dataset's own: {height} by {width}; leave it out", param="picture")
        return self.model_copy(update={"labels": own_labels(self.labels, facts), "picture": (height, width)})

    @classmethod
    def moved(cls, column: Ragged, own: Mapping[str, Any], joint: Mapping[str, Any]) -> Ragged:
        values = column.values.copy()
        values[:, 0] = places_among(own, joint)[column.values[:, 0].astype(np.int64)]
        return Ragged(values, column.offsets)

    def restore(self, state: dict[str, Any]) -> "FittedBoxes":
        return FittedBoxes(self, state["most"])


class FittedBoxes(Fitted):
    """Corners from pixels to shares of the picture's width and height, 0 to 1, and classes to one of K."""

    def __init__(self, settings: Boxes, most: int) -> None:
        assert settings.labels is not None, "the profile names the classes; this is a bug"
        assert settings.picture is not None, "the profile gives the pictures' size; this is a bug"
        self.settings = settings
        self.labels = settings.labels
        self.shape = Shape("boxes", (most, CORNERS + len(self.labels)), bounded=True)
        height, width = settings.picture
        self._scale: NDArray[np.float32] = np.array([width, height, width, height], np.float32)
        self._positions = {label: position for position, label in enumerate(self.labels)}

    def state(self) -> dict[str, Any]:
        return {"most": self.shape.size[0]}

    def read(self, items: Any) -> Ragged:
        """The boxes of one picture or a list of such lists, as `render` gives them or as arrays [M, 5], to pixels."""
        if isinstance(items, Ragged):
            return items
        if isinstance(items, np.ndarray):
            return Ragged.of([items])
        if not isinstance(items, list | tuple):
            raise WrongType(f"input: expected a list of boxes or of such lists, got {told(items)}", param="input")
        if len(items) == 0:
            raise EmptyInput("input: is empty; give the boxes of at least one picture", param="input")
        if isinstance(items[0], Mapping):
            return Ragged.of([self._read_picture(items, "input")])
        return Ragged.of([self._read_picture(item, f"input[{index}]") for index, item in enumerate(items)])

    def encode(self, column: Ragged) -> Tensors:
        """`values` [B, M, 4 + K]: x0, y0, x1, y1 and a 1 at the class, M at least 1; `mask` [B, M]."""
        lengths = torch.from_numpy(column.lengths)
        mask = torch.arange(max(1, int(lengths.max()))) < lengths[:, None]
        values = torch.zeros(*mask.shape, self.shape.size[1])
        held = np.zeros((len(column.flat), self.shape.size[1]), np.float32)
        held[:, :CORNERS] = column.flat[:, 1:] / self._scale
        held[np.arange(len(held)), CORNERS + column.flat[:, 0].astype(np.int64)] = 1
        values[mask] = torch.from_numpy(held)
        return {"values": values, "mask": mask}

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Per picture `[{"label", "score", "box": [x0, y0, x1, y1]}]`, best first, corners in pixels.

        A box whose scores are all 0 is none.
        """
        answers = []
        for row in values.detach().float().cpu().numpy():
            corners, scores = row[:, :CORNERS] * self._scale, row[:, CORNERS:]
            best = scores.argmax(axis=1)
            score = scores[np.arange(len(scores)), best]
            order = np.argsort(-score, kind="stable")
            answers.append(
                [
                    {"label": self.labels[best[place]], "score": float(score[place]), "box": corners[place].tolist()}
                    for place in order[score[order] > 0]
                ]
            )
        return answers

    def entries(self, values: Tensor, sizes: Sequence[tuple[int, int]] | None) -> list[dict[str, Any]]:
        """`{"boxes": [...]}`, corners in pixels of the pictures that were sent."""
        if sizes is not None:
            scale = values.new_tensor([[width, height, width, height] for height, width in sizes])
            corners = values[..., :CORNERS] * (scale / values.new_tensor(self._scale))[:, None]
            values = torch.cat([corners, values[..., CORNERS:]], -1)
        return [{"boxes": boxes} for boxes in self.render(values)]

    def _read_picture(self, items: Any, name: str) -> NDArray[np.float32]:
        if not isinstance(items, list | tuple):
            raise WrongType(f"{name}: expected a list of boxes, got {told(items)}", param=name)
        boxes = [self._read_box(item, f"{name}[{index}]") for index, item in enumerate(items)]
        return np.array(boxes, np.float32).reshape(-1, 1 + CORNERS)

    def _read_box(self, item: Any, name: str) -> list[float]:
        if not isinstance(item, Mapping):
            raise WrongType(f'{name}: expected {{"label": …, "box": [x0, y0, x1, y1]}}, got {told(item)}', param=name)
        label, box = item.get("label"), item.get("box")
        if not isinstance(label, str) or label not in self._positions:
            raise UnknownChoice(f"{name}: unknown label {label!r:.100}; {known(self.labels)}", param=name)
        if not isinstance(box, list | tuple) or len(box) != CORNERS or not {type(n) for n in box} <= {int, float}:
            raise WrongShape(f"{name}: expected a box of 4 numbers x0, y0, x1, y1, got {told(box)}", param=name)
        if not all(-FARTHEST <= number <= FARTHEST for number in box):  # NaN is not <= FARTHEST
            raise NonFinite(f"{name}: the box {box!r:.100} has a number that is no place in a picture", param=name)
        return [self._positions[label], *box]
