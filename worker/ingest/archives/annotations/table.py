"""Reads tables of boxes: a row for every box, with its picture's name, its class and its corners, in pixels or all in
shares of the picture's size. Knows no pixels.

Such are TensorFlow's and Roboflow's (`filename,width,height,class,xmin,ymin,xmax,ymax`) and those of Open Images.
"""

import csv
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.ingest.archives.annotations.marks import BOXES, Marks, coordinate
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.annotations.split_lists import put
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.folders import is_split, split_name
from worker.ingest.archives.item_names import Names, stem
from worker.ingest.archives.keyed import Table, read
from worker.ingest.faults import shown
from worker.ingest.readers.dialect import DELIMITERS, find_dialect
from worker.ingest.source import Context, Input

TABLES = re.compile(r"\.(csv|tsv)$", re.IGNORECASE)
CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
)
"""As columns are called, but for capitals, signs and `bbox` before them."""
CLASSES = ("class", "classname", "label", "labelname", "category", "categoryname", "name", "classid", "categoryid")
SIZES = (("height", "width"), ("imageheight", "imagewidth"))
THING = "object"
"""The class of all boxes where no column names one."""


@dataclass(frozen=True)
class BoxTable:
    """A table, and where its columns stand."""

    table: Table
    corners: Sequence[int]
    label: int | None
    size: Sequence[int] | None
    """Height and width of the picture."""

    @property
    def path(self) -> str:
        return self.table.member.path

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """All with as many cells as the header, short ones filled up, and their numbers from 1. Raises ValueError."""
        width = len(self.table.header)
        try:
            for number, row in enumerate(self.table.rows(), 1):
                if row:
                    yield number, [cell.strip() for cell in [*row, *[""] * (width - len(row))]]
        except (*BROKEN, ValueError, csv.Error) as error:
            raise ValueError(f"{self.path} cannot be read: {error}") from error

    def label_of(self, row: Sequence[str]) -> str:
        """Nothing where the row has none."""
        return THING if self.label is None else row[self.label]


def has_boxes(members: Sequence[Member]) -> bool:
    """Whether a table among these names others in one column and has columns of corners."""
    names = Names([member.path for member in members if not TABLES.search(member.path)])
    return any(_open(member, names) for member in members if TABLES.search(member.path))


def read_tables(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> Marks:
    """The boxes of all tables; a picture without a row shows nothing. Faults go to the context.

    Where all tables are called like splits (`train.csv`, `val.csv`), these are the splits of their pictures.
    """
    marks = Marks("CSV", complete=False)
    names = Names(paths.paths)
    found = [(member, _open(member, names)) for member in members]
    tables = [table for _, table in found if table is not None]
    for member, table in found:
        if table is None:
            wanted = " or ".join(", ".join(style) for style in CORNERS)
            problem = f"is no table of boxes: a column has to name the pictures, and four their corners ({wanted})"
            message = f"{archive.name}/{member.path} {problem}; mend it, or take it out"
            context.faults.add("not_boxes", message, file=archive.id, column=BOXES)
    if tables and not any(next(table.rows(), None) for table in tables):
        called = " and ".join(table.path for table in tables)
        message = f"{archive.name}: {called} has nothing below its header; give a row for every box"
        context.faults.add("no_rows", message, file=archive.id, column=BOXES)
    if tables and all(is_split(stem(table.path)) for table in tables):
        marks.splits = [None] * len(paths.paths)
    try:
        for table in tables:
            marks.files.append(f"{archive.name}/{table.path}")
            for number, row in table.rows():
                context.tick(0)
                _take(table, number, row, marks, paths, archive, context)
    except ValueError as error:
        context.faults.add("damaged", f"{archive.name}/{error}", file=archive.id, column=BOXES)
    marks.sort_names()
    marks.relative = marks.in_first_pixel
    return marks


def _take(
    table: BoxTable, number: int, row: Sequence[str], marks: Marks, paths: Paths, archive: Input, context: Context
) -> None:
    """Adds the box of a row, if it has one."""
    name, where, label = row[table.table.key], f"{marks.files[-1]}, row {number:,}", table.label_of(row)
    position = marks.position(label) if label else -1  # of a picture without boxes, too
    picture = paths.find(name, table.path)
    if not isinstance(picture, int) and not posixpath.splitext(name)[1]:
        picture = paths.find_stem(posixpath.join(posixpath.dirname(table.path), name))
    if not isinstance(picture, int):
        marks.fault(picture[0], f"{where}: {picture[1]}", archive, number, context)
        return
    marks.listed.add(picture)
    if marks.splits and (problem := put(picture, split_name(stem(table.path)), marks.splits, paths)):
        marks.fault("two_splits", f"{where}: {problem}", archive, number, context, picture)
        return
    cells = [row[column] for column in table.corners]
    if not any(cells) and (table.label is None or not label):  # the picture shows nothing
        return
    corners = [corner for cell in cells if (corner := coordinate(cell)) is not None]
    if len(corners) < len(cells) or not label:
        called = ", ".join(table.table.header[column] for column in table.corners)
        problem = f"the class {shown(label)} with {shown(cells)} is no box; give a class and, as numbers, {called}"
        marks.fault("not_a_box", f"{where}: {problem}", archive, number, context, picture)
        return
    if table.size is not None:
        marks.say_size(picture, *(row[column] for column in table.size))
    marks.add(picture, position, corners, number)


def _open(member: Member, names: Names) -> BoxTable | None:
    """None where no column names pictures, or none are corners. One that ends with its header has all that it needs."""
    table = read(member, names) or _header_alone(member, names)
    if not isinstance(table, Table):
        return None
    header = [re.sub(r"[\W_]", "", name.casefold()).removeprefix("bbox") for name in table.header]
    places = {name: place for place, name in reversed(list(enumerate(header)))}
    corners = next((style for style in CORNERS if all(name in places for name in style)), None)
    if corners is None:
        return None
    label = next((places[name] for name in CLASSES if name in places and places[name] != table.key), None)
    size = next(([places[name] for name in pair] for pair in SIZES if all(name in places for name in pair)), None)
    return BoxTable(table, [places[name] for name in corners], label, size)


def _header_alone(member: Member, names: Names) -> Table | None:
    """A table of nothing but a header: that of a split without boxes."""
    try:
        lines = [line for line in next(member.chunks(), b"").decode("utf-8-sig").splitlines() if line.strip()]
    except (*BROKEN, ValueError):
        return None
    if len(lines) != 1:
        return None
    dialect = find_dialect(lines[0], DELIMITERS, None, True)
    return Table(member, names, [name.strip() for name in dialect.rows[0]], 0, 1, dialect.delimiter, True)
