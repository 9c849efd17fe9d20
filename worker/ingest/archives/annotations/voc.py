"""Reads Pascal VOC: an XML file for every picture, an `object` with `name` and `bndbox` for every box. Knows no pixels.

The first pixel of a row is 1 there, and the last one belongs to the box (Everingham 2010). Entities are never expanded.
"""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from worker.ingest.archives.annotations.marks import BOXES, Marks, coordinate
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.faults import shown
from worker.ingest.source import Context, Input

MOST_BYTES = 16 << 20
"""Of one XML file."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> Marks:
    """The boxes of all files. Faults go to the context."""
    marks = Marks("Pascal VOC")
    for member in members:
        context.tick(0)
        marks.files.append(f"{archive.name}/{member.path}")
        root = _parse(archive, member, context)
        if root is None:
            continue
        picture = paths.find_stem(member.path)
        name = (root.findtext("filename") or "").strip()
        if not isinstance(picture, int) and name:
            picture = paths.find(name, member.path)
        if not isinstance(picture, int):
            marks.fault(picture[0], f"{marks.files[-1]}: {picture[1]}", archive, None, context)
            continue
        marks.listed.add(picture)
        marks.say_size(picture, root.findtext("size/height"), root.findtext("size/width"))
        for row, thing in enumerate(root.iterfind("object"), 1):
            label = (thing.findtext("name") or "").strip()
            corners = [coordinate(thing.findtext(f"bndbox/{corner}")) for corner in CORNERS]
            found = [corner for corner in corners if corner is not None]
            if not label or len(found) < len(CORNERS):
                given = [thing.findtext(f"bndbox/{corner}") for corner in CORNERS]
                problem = f"the object {shown(label)} with {shown(given)} needs a name and {', '.join(CORNERS)}"
                marks.fault("not_a_box", f"{marks.files[-1]}, row {row:,}: {problem}", archive, row, context, picture)
                continue
            marks.add(picture, marks.position(label), [found[0] - 1, found[1] - 1, found[2], found[3]], row)
    marks.sort_names()
    return marks


def _parse(archive: Input, member: Member, context: Context) -> Element | None:
    """The `annotation`; None where there is none, and the fault says why."""
    try:
        if member.size > MOST_BYTES:
            raise ValueError(f"it has {member.size:,} bytes, and at most {MOST_BYTES:,} are read")
        root: Element = fromstring(member.read(), forbid_dtd=False)
        if root.tag != "annotation":
            raise ValueError(f"its root is {shown(root.tag)}, not 'annotation'")
    except DefusedXmlException as error:
        problem = f"defines entities, which are never expanded: {type(error).__name__}"
    except (*BROKEN, ParseError, ValueError, LookupError, RecursionError) as error:
        problem = f"is no Pascal VOC: {error}"
    else:
        return root
    context.faults.add("not_voc", f"{archive.name}/{member.path} {problem}", file=archive.id, column=BOXES)
    return None
