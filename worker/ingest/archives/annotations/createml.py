"""Reads the JSON of Apple's Create ML: a list of pictures, and the things in each by label, middle and size in pixels.
Knows no pixels.
"""

import re
from collections.abc import Sequence
from typing import Any

from worker.ingest.archives.annotations.marks import BOXES, Marks, is_place
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.listed import JSON, LIST
from worker.ingest.faults import shown
from worker.ingest.readers.json_lists import members as elements
from worker.ingest.source import Context, Input

INSIDE = re.compile(rb'"coordinates"\s*:\s*\{')
PLACES = ("x", "y", "width", "height")
PICTURE, EARLIER = "image", "imagefilename"


def is_createml(member: Member) -> bool:
    try:
        first = next(member.chunks(), b"") if JSON.search(member.path) else b""
    except (*BROKEN, ValueError):
        return False
    return bool(LIST.match(first) and INSIDE.search(first))


def read_createml(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> Marks:
    """The boxes of all files. Faults go to the context."""
    marks = Marks("Create ML")
    for member in members:
        marks.files.append(f"{archive.name}/{member.path}")
        try:
            for row, entry in enumerate(elements(member.chunks()), 1):
                context.tick(0)
                _take(entry, row, marks, paths, member, archive, context)
        except (*BROKEN, ValueError) as error:
            message = f"{marks.files[-1]} is no list of pictures in JSON: {error}"
            context.faults.add("not_createml", message, file=archive.id, column=BOXES)
    marks.sort_names()
    return marks


def _take(entry: Any, row: int, marks: Marks, paths: Paths, member: Member, archive: Input, context: Context) -> None:
    """Adds the boxes of a picture."""
    where, given = f"{marks.files[-1]}, row {row:,}:", entry if isinstance(entry, dict) else {}
    name, things = given.get(PICTURE, given.get(EARLIER)), given.get("annotations", [])
    if not isinstance(name, str) or not isinstance(things, list):
        problem = f"{where} a picture needs a name in {PICTURE!r} and a list 'annotations', and this is {shown(entry)}"
        marks.fault("not_createml", problem, archive, row, context)
        return
    picture = paths.find(name, member.path)
    if not isinstance(picture, int):
        marks.fault(picture[0], f"{where} {picture[1]}", archive, row, context)
        return
    marks.listed.add(picture)
    for thing in things:
        label, held = (thing.get(key) if isinstance(thing, dict) else None for key in ("label", "coordinates"))
        place: list[Any] = [held.get(key) for key in PLACES] if isinstance(held, dict) else []
        if not isinstance(label, str) or not place or not all(map(is_place, place)):
            problem = f"{where} {shown(thing)} is no box; give a label and coordinates with {', '.join(PLACES)}"
            marks.fault("not_a_box", problem, archive, row, context, picture)
            continue
        x, y, width, height = place
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        marks.add(picture, marks.position(label), corners, row)
