"""Boxes as annotation files give them, and as they lie in the pictures once those are turned upright and scaled.

Knows no file format. Of a box, some fifty bytes are held.
Legend: `N` boxes, `P` pictures.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import Cleaning
from app.ml.image.pictures import QUARTER_TURNS
from worker.ingest.archives.annotations import notation
from worker.ingest.archives.annotations.notation import ROUNDING, Floats
from worker.ingest.archives.items import Items
from worker.ingest.source import Context, Input, Mapped
from worker.ingest.stages import RaggedStage

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
    _positions: dict[str, int] = field(default_factory=dict)
    _pictures: "array[int]" = field(default_factory=lambda: array("q"))
    _classes: "array[int]" = field(default_factory=lambda: array("i"))
    _corners: "array[float]" = field(default_factory=lambda: array("d"))
    _files: "array[int]" = field(default_factory=lambda: array("i"))
    _rows: "array[int]" = field(default_factory=lambda: array("q"))
    _crowds: "array[int]" = field(default_factory=lambda: array("b"))

    def __len__(self) -> int:
        return len(self._pictures)

    @property
    def in_first_pixel(self) -> bool:
        """Whether all boxes lie there, if there are any: in pixels nobody draws so."""
        return 0 < max(self._corners, default=0) <= 1

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
        self._classes = array("i", [places[position] for position in self._classes])
        self._positions = {name: place for place, name in enumerate(self.names)}

    def say_size(self, picture: int, height: str | None, width: str | None) -> None:
        """Notes what a file says of a picture's size, if it does."""
        sides = [side for given in (height, width) if (side := coordinate(given)) is not None and side > 0]
        if len(sides) == 2:
            self.said[picture] = (int(sides[0]), int(sides[1]))

    def add(self, picture: int, position: int, corners: Sequence[float], row: int, *, crowd: bool = False) -> None:
        """A box of the file that was added last; `row` counts the boxes or lines of that from 1."""
        self._pictures.append(picture)
        self._classes.append(position)
        self._corners.extend(corners)
        self._files.append(len(self.files) - 1)
        self._rows.append(row)
        self._crowds.append(crowd)

    def fault(
        self, code: str, message: str, archive: Input, row: int | None, context: Context, picture: int | None = None
    ) -> None:
        """What is wrong with a row; its picture, where it is known, is left out where that was asked for."""
        if context.faults.drops and picture is not None:
            self.bad.add(picture)
        context.faults.row(code, message, file=archive.id, row=row, column=BOXES)


class Placed:
    """The boxes of the pictures that can be read, sorted by picture, each of them judged: what is wrong is a fault."""

    def __init__(
        self,
        marks: Marks,
        items: Items,
        looks: Mapping[int, tuple[int, int, int]],
        cleaning: Cleaning,
        context: Context,
    ) -> None:
        """`looks` has height and width of every picture once upright, and its orientation by EXIF."""
        self.marks, self.items, self.looks, self.context = marks, items, looks, context
        pictures = np.array(marks._pictures, np.int64)
        readable = np.isin(pictures, np.array(list(looks), np.int64))
        self.order = np.argsort(pictures, kind="stable")
        self.order = self.order[readable[self.order]]
        self.pictures = pictures[self.order]
        self.corners = np.array(marks._corners, np.float64).reshape(-1, 4)[self.order]
        known = np.zeros((len(items.members), 3), np.int64)
        for picture, look in looks.items():
            known[picture] = look
        self.upright: Floats = known[self.pictures, :2].astype(np.float64)  # [N, 2] height, width
        self.turns = known[self.pictures, 2]
        self.stored = np.where(np.isin(self.turns, QUARTER_TURNS)[:, None], self.upright[:, ::-1], self.upright)
        self._check_sizes()
        self._judge(cleaning)

    def __len__(self) -> int:
        return len(self.pictures)

    def mapped(self, size: Sequence[int]) -> Mapped:
        """Rows [class, x0, y0, x1, y1] of every picture, turned along with it, then scaled to pixels of `size`."""
        corners = turned(self.corners, self.stored, self.turns)
        corners *= (np.array(size[:2], np.float64) / self.upright)[:, [1, 0, 1, 0]]
        classes = np.array(self.marks._classes, np.float64)[self.order]
        stage = RaggedStage(self.context, np.dtype(np.float32), (5,))
        lengths = np.bincount(self.pictures, minlength=len(self.items.members))
        stage.add(np.column_stack([classes, corners]), lengths)
        return stage.mapped()

    def _check_sizes(self) -> None:
        """Where the file says how large a picture is, that decides whether its boxes are upright already."""
        is_upright = np.zeros(len(self.pictures), np.bool_)
        for picture, said in self.marks.said.items():
            if picture not in self.looks:
                continue
            height, width, turn = self.looks[picture]
            stored = (width, height) if turn in QUARTER_TURNS else (height, width)
            if said == stored:
                continue
            if said == (height, width):
                first, after = (np.searchsorted(self.pictures, picture, side) for side in ("left", "right"))
                is_upright[first:after] = True
                continue
            there = f"{stored[1]} by {stored[0]}"
            problem = f"is {there} pixels, and the annotations say {said[1]} by {said[0]}; annotate the file as it is"
            message = f"{self.items.file.name}: {self.items.members[picture].path} {problem}"
            self.marks.fault("size_differs", message, self.items.file, picture + 1, self.context, picture)
        self.turns = np.where(is_upright, 1, self.turns)
        self.stored = np.where(is_upright[:, None], self.upright, self.stored)
        if self.marks.relative:
            self.corners *= self.stored[:, [1, 0, 1, 0]]

    def _judge(self, cleaning: Cleaning) -> None:
        """Empty boxes and those that leave their picture: a fault, or repaired and counted."""
        crowds = np.array(self.marks._crowds, np.int8)[self.order]
        if cleaning.crowds == "fault":
            drop = 'correct it, or ask for cleaning {"crowds": "drop"}'
            for place in np.flatnonzero(crowds).tolist():
                self._refuse("crowd", place, "is a crowd (iscrowd) and no single thing", drop)
        else:
            self.marks.changed["crowds_left_out"] += int(crowds.sum())
            self._keep(np.flatnonzero(crowds == 0))
        if not self.marks.relative and notation.are_shares(self.corners, self.stored):
            problem = "every box lies in the first pixel of its picture, and looks like shares of the picture's size"
            message = f"{self.items.file.name}: {problem}; {self.marks.format} gives pixels"
            self.context.faults.add("boxes_are_shares", message, file=self.items.file.id, column=BOXES)
            return
        edges = self.stored[:, [1, 0]]
        inside = np.concatenate(
            [np.clip(self.corners[:, :2], 0, edges), np.clip(self.corners[:, 2:], 0, edges)], axis=1
        )
        outside = (np.abs(inside - self.corners) > ROUNDING).any(axis=1)
        empty = (self.corners[:, 2:] <= self.corners[:, :2]).any(axis=1)
        flat = (inside[:, 2:] <= inside[:, :2]).any(axis=1)
        otherwise = notation.otherwise(self.marks.format, self.corners, self.stored)
        if cleaning.boxes == "clip":
            if otherwise and notation.differ(self.corners, inside, edges):
                problem = "many boxes reach beyond their pictures, and not as drawings beyond an edge do"
                message = f"{self.items.file.name}: {problem}; {otherwise}"
                self.context.faults.add("boxes_look_otherwise", message, file=self.items.file.id, column=BOXES)
                return
            self.marks.changed["boxes_clipped"] += int((outside & ~flat).sum())
            self.marks.changed["empty_boxes_left_out"] += int(flat.sum())
        else:
            clip = 'correct it, or ask for cleaning {"boxes": "clip"}'
            for code, wrong, problem, advice in (
                ("empty_box", empty, "has no area; give a width and a height above 0", clip),
                ("box_outside", outside & ~empty, "reaches beyond its picture", otherwise or clip),
                ("empty_box", flat & ~empty & ~outside, "has no area within its picture", clip),
            ):
                for place in np.flatnonzero(wrong).tolist():
                    self._refuse(code, place, problem, advice)
        self.corners = inside
        self._keep(np.flatnonzero(~flat))

    def _keep(self, kept: NDArray[Any]) -> None:
        self.order, self.pictures, self.corners = self.order[kept], self.pictures[kept], self.corners[kept]
        self.upright, self.stored, self.turns = self.upright[kept], self.stored[kept], self.turns[kept]

    def _refuse(self, code: str, place: int, problem: str, advice: str) -> None:
        box, picture = int(self.order[place]), int(self.pictures[place])
        height, width = self.stored[place].astype(int).tolist()
        where = f"{self.marks.files[self.marks._files[box]]}, row {self.marks._rows[box]:,}"
        given = ", ".join(f"{number:g}" for number in self.corners[place])
        path = self.items.members[picture].path
        message = f"{where}: the box [{given}] in {path}, {width} by {height}, {problem}; {advice}"
        self.marks.fault(code, message, self.items.file, self.marks._rows[box], self.context, picture)


def turned(corners: Floats, sizes: Floats, turns: NDArray[np.int64]) -> Floats:
    """Corners [N, 4] in pictures of height and width [N, 2], after what EXIF's orientations [N] ask for."""
    x0, y0, x1, y1 = corners.T
    height, width = sizes.T
    left, right, top, bottom = x0, width - x1, y0, height - y1  # distances from the edges
    far_x, far_y = width - x0, height - y0
    ways = {
        1: (x0, y0, x1, y1),
        2: (right, y0, far_x, y1),
        3: (right, bottom, far_x, far_y),
        4: (x0, bottom, x1, far_y),
        5: (top, left, y1, x1),
        6: (bottom, left, far_y, x1),
        7: (bottom, right, far_y, far_x),
        8: (top, right, y1, far_x),
    }
    result = corners.copy()
    for turn, way in ways.items():
        chosen = turns == turn
        result[chosen] = np.column_stack(way)[chosen]
    return result
