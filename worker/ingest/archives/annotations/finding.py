"""Finds the boxes that lie beside the pictures of an archive, in the format that its files show."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from worker.ingest.archives.annotations.coco import read_coco
from worker.ingest.archives.annotations.createml import is_createml, read_createml
from worker.ingest.archives.annotations.marks import BOXES, Marks
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.annotations.split_lists import LISTS, read_lists
from worker.ingest.archives.annotations.table import TABLES, has_boxes, read_tables
from worker.ingest.archives.annotations.voc import read_voc
from worker.ingest.archives.annotations.yolo import is_yolo, read_yolo
from worker.ingest.archives.containers import Archive, Member
from worker.ingest.archives.items import contents, told_apart
from worker.ingest.archives.listed import JSON
from worker.ingest.faults import shown
from worker.ingest.source import Context, Input


@dataclass(frozen=True)
class Format:
    """How annotations are written down."""

    name: str
    shows: Callable[[Sequence[Member]], bool]
    """Whether an archive of these members has it."""
    files: re.Pattern[str]
    """Annotation files, and whatever else belongs to the format and is no picture of the dataset."""
    read: Callable[[Input, Sequence[Member], Paths, Context], Marks]


XML = re.compile(r"\.xml$", re.IGNORECASE)
OTHERS = re.compile(r"(^|/)(ImageSets|SegmentationClass|SegmentationObject)/")
"""What VOC's archives hold beside pictures and boxes."""
MAIN = re.compile(r"(^|/)ImageSets/Main/")
TEXTS = re.compile(r"\.(txt|names|ya?ml)$", re.IGNORECASE)
FORMATS = (
    Format("createml", lambda members: any(map(is_createml, members)), JSON, read_createml),
    Format("coco", lambda members: any(JSON.search(member.path) for member in members), JSON, read_coco),
    Format("voc", lambda members: any(XML.search(member.path) for member in members), XML, read_voc),
    Format("yolo", lambda members: is_yolo([member.path for member in members]), TEXTS, read_yolo),
    Format("table", has_boxes, TABLES, read_tables),
)


def read_annotations(archive: Archive, wanted: str | None, context: Context) -> tuple[Archive, Marks | None]:
    """The archive without its annotation files, and the boxes; None where there are no such files.

    `wanted` is the format that was asked for; where it is none of boxes, the files decide.
    """
    found = contents(archive)
    paths = [member.path for member in found]
    asked = [format for format in FORMATS if format.name == wanted]
    format = next((format for format in asked or FORMATS if format.shows(found)), None)
    if format is None:
        if asked:
            message = f"{archive.file.name}: format {wanted!r} was asked for, and no file in it is such an annotation"
            context.faults.add("no_annotations", message, file=archive.file.id, column=BOXES)
        return archive, None
    files = [
        member for member in found if format.files.search(member.path) and not (asked and OTHERS.search(member.path))
    ]
    others = {path for path in paths if format.files is XML and OTHERS.search(path)}
    if asked:  # those of the other formats are passed over
        present = [each for each in FORMATS if each.files is not TABLES or each.shows(found)]
        others |= {path for path in paths if any(each.files.search(path) for each in present)}
    others -= {member.path for member in files}
    gone = others | {member.path for member in files}
    if len(gone) == len(paths):  # no archive of pictures at all
        return archive, None
    members = [member for member in archive.members if member.path not in gone]
    rest = replace(archive, members=members, junk=archive.junk + len(others))
    pictures = [member.path for member in told_apart(rest).items]
    before = context.faults.total
    by_path = Paths(pictures)
    marks = format.read(archive.file, [each for each in files if not LISTS.search(each.path)], by_path, context)
    lists = _lists([member for member in found if member.path in gone])
    if lists and context.faults.total == before:
        marks.splits = read_lists(archive.file, lists, by_path, context)
    whole = context.faults.total == before
    for number, split in enumerate(marks.splits):
        if split is None and whole:
            message = f"{archive.file.name}: {shown(pictures[number])} is in none of {_named(lists or files)}"
            marks.fault("no_split", message, archive.file, number + 1, context, number)
    if marks.complete and context.faults.total == before:
        for number, path in enumerate(pictures):
            if number not in marks.listed:
                message = f"{archive.file.name}: no annotation file speaks of {shown(path)}; take the picture out"
                marks.fault("missing_row", message, archive.file, number + 1, context, number)
    return rest, marks


def _lists(members: Sequence[Member]) -> list[Member]:
    """Those that say which pictures are in which split; VOC has others for other tasks."""
    lists = [member for member in members if LISTS.search(member.path)]
    return [member for member in lists if MAIN.search(member.path)] or lists


def _named(members: Sequence[Member]) -> str:
    return ", ".join(member.path for member in members)
