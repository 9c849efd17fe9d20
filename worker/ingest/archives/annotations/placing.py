"""Boxes as they lie in the pictures once those are turned upright and scaled. Knows no file format.

Legend: `N` boxes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dataset_options import Cleaning
from app.ml.image.pictures import QUARTER_TURNS
from worker.ingest.archives.annotations import notation
from worker.ingest.archives.annotations.marks import BOXES, Marks
from worker.ingest.archives.annotations.notation import ROUNDING, Floats
from worker.ingest.archives.items import Items
from worker.ingest.mapping import Mapped
from worker.ingest.source import Context
from worker.ingest.stages import RaggedStage


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
        pictures = np.array(marks.pictures, np.int64)
        readable = np.isin(pictures, np.array(list(looks), np.int64))
        self.order = np.argsort(pictures, kind="stable")
        self.order = self.order[readable[self.order]]
        self.pictures = pictures[self.order]
        self.corners = np.array(marks.corners, np.float64).reshape(-1, 4)[self.order]
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
        classes = np.array(self.marks.classes, np.float64)[self.order]
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
        crowds = np.array(self.marks.crowds, np.int8)[self.order]
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
        where = f"{self.marks.files[self.marks.sources[box]]}, row {self.marks.rows[box]:,}"
        given = ", ".join(f"{number:g}" for number in self.corners[place])
        path = self.items.members[picture].path
        message = f"{where}: the box [{given}] in {path}, {width} by {height}, {problem}; {advice}"
        self.marks.fault(code, message, self.items.file, self.marks.rows[box], self.context, picture)


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
