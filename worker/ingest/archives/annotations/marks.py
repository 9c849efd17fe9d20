"""Boxes as annotation files give them. Knows no file format and no picture. Of a box, some fifty bytes are held."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.ingest.source import Context, Input

BOXES = "boxes"
FARTHEST = 1e9
"""Pixels from the corner of a picture: what is given as more is no place."""


def coordinate(given: str | None) -> float | None:
    """As a file writes it; None for what is none."""
    try:
        number = float(given or "")
    except ValueError:
        return None
    return number if -FARTHEST <= number <= FARTHEST else None


def is_place(number: Any) -> bool:
    """Whether JSON holds a coordinate."""
    return type(number) in (int, float) and -FARTHEST <= number <= FARTHEST  # NaN is not <= FARTHEST


@dataclass
class Marks:
    """All boxes of an archive; x0, y0, x1, y1 in pixels of the file as it is stored, not as its EXIF turns it."""

    format: str
    names: list[str] = field(default_factory=list)
    """Of the classes, by position."""
    relative: bool = False
    """Whether corners are shares of width and height."""
    files: list[str] = field(default_factory=list)
    """Names of the annotation files, as messages call them."""
    said: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Height and width of a picture, where an annotation file gives them."""
    changed: Counter[str] = field(default_factory=Counter)
    """What cleaning did to how many boxes."""
    bad: set[int] = field(default_factory=set)
    """Pictures that have a fault for which they are left out."""
    listed: set[int] = field(default_factory=set)
    """Pictures that an annotation file speaks of, with boxes or without."""
    splits: list[str | None] = field(default_factory=list)
    """Of every picture, where lists beside the annotations say so."""
    complete: bool = True
    """Whether every picture has to be listed."""
    pictures: "array[int]" = field(default_factory=lambda: array("q"))
    """Of every box, and so are the others below."""
    classes: "array[int]" = field(default_factory=lambda: array("i"))
    corners: "array[float]" = field(default_factory=lambda: array("d"))
    sources: "array[int]" = field(default_factory=lambda: array("i"))
    rows: "array[int]" = field(default_factory=lambda: array("q"))
    crowds: "array[int]" = field(default_factory=lambda: array("b"))
    _positions: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def in_first_pixel(self) -> bool:
        """Whether all boxes lie there, if there are any: in pixels nobody draws so."""
        return 0 < max(self.corners, default=0) <= 1

    def position(self, name: str) -> int:
        """Of a class, which is a new one where it was not met before; `sort_names` has the last word."""
        if name not in self._positions:
            self._positions[name] = len(self.names)
            self.names.append(name)
        return self._positions[name]

    def sort_names(self) -> None:
        """Gives the classes, met in any order, the positions of their names in order."""
        self.names.sort()
        places = {self._positions[name]: place for place, name in enumerate(self.names)}
        self.classes = array("i", [places[position] for position in self.classes])
        self._positions = {name: place for place, name in enumerate(self.names)}

    def say_size(self, picture: int, height: str | None, width: str | None) -> None:
        """Notes what a file says of a picture's size, if it does."""
        sides = [side for given in (height, width) if (side := coordinate(given)) is not None and side > 0]
        if len(sides) == 2:
            self.said[picture] = (int(sides[0]), int(sides[1]))

    def add(self, picture: int, position: int, corners: Sequence[float], row: int, *, crowd: bool = False) -> None:
        """A box of the file that was added last; `row` counts the boxes or lines of that from 1."""
        self.pictures.append(picture)
        self.classes.append(position)
        self.corners.extend(corners)
        self.sources.append(len(self.files) - 1)
        self.rows.append(row)
        self.crowds.append(crowd)

    def fault(
        self, code: str, message: str, archive: Input, row: int | None, context: Context, picture: int | None = None
    ) -> None:
        """What is wrong with a row; its picture, where it is known, is left out where that was asked for."""
        if context.faults.drops and picture is not None:
            self.bad.add(picture)
        context.faults.row(code, message, file=archive.id, row=row, column=BOXES)
