"""Reads COCO JSON: lists of `images`, `categories` and `annotations`, in any order and of any length. Knows no pixels.

An annotation may come before what it refers to: some fifty bytes are held of each, and of an image its entry.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.ingest.archives.annotations.marks import BOXES, Marks, is_place
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.faults import shown
from worker.ingest.readers.json_lists import elements
from worker.ingest.source import Context, Input

Entry = dict[str, Any]


class Ids:
    """Ids as small numbers."""

    def __init__(self) -> None:
        self.given: dict[Any, int] = {}

    def code(self, number: Any) -> int:
        return self.given.setdefault(number if isinstance(number, int | str) else repr(number), len(self.given))


@dataclass
class Read:
    """What a file holds, before names are looked up."""

    image_ids: Ids = field(default_factory=Ids)
    category_ids: Ids = field(default_factory=Ids)
    images: dict[int, tuple[int, str, Any, Any]] = field(default_factory=dict)
    """Row, file name, height and width."""
    categories: dict[int, str] = field(default_factory=dict)
    refers: "array[int]" = field(default_factory=lambda: array("q"))
    """Row, image, category and whether it is a crowd, of every annotation."""
    boxes: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass(frozen=True)
class CocoFile:
    """One file being read."""

    archive: Input
    member: Member
    marks: Marks
    context: Context

    @property
    def name(self) -> str:
        return f"{self.archive.name}/{self.member.path}"

    def fault(self, code: str, problem: str, row: int, picture: int | None = None) -> None:
        self.marks.fault(code, f"{self.name}, row {row:,}: {problem}", self.archive, row, self.context, picture)

    def read(self) -> Read | None:
        """The file's lists; None where it is no COCO, and the fault says why."""
        read, problem = Read(), ""
        takes: dict[str, Callable[[Read, int, Entry], None]] = {
            "images": self._image,
            "categories": self._category,
            "annotations": self._annotation,
        }
        try:
            for key, row, entry in elements(self.member.chunks()):
                self.context.tick(0)
                if key in takes and not isinstance(entry, dict):
                    problem = f"{key} holds {shown(entry)}, no object"
                    break
                if key in takes:
                    takes[key](read, row, entry)
        except (*BROKEN, ValueError) as error:
            problem = f"it is no JSON object: {error}"
        if not problem and not read.images:
            problem = "it has no list 'images' with entries, as COCO has"
        if problem:
            self.context.faults.add("not_coco", f"{self.name}: {problem}", file=self.archive.id, column=BOXES)
        return None if problem else read

    def _image(self, read: Read, row: int, entry: Entry) -> None:
        number, name = entry.get("id"), entry.get("file_name")
        if not isinstance(number, int | str) or not isinstance(name, str):
            self.fault("not_coco", f"an image needs an id and a file_name, and this is {shown(entry)}", row)
        elif read.image_ids.code(number) in read.images:
            self.fault("duplicate_row", f"there is another image of the id {shown(number)}", row)
        else:
            read.images[read.image_ids.code(number)] = (row, name, entry.get("height"), entry.get("width"))

    def _category(self, read: Read, row: int, entry: Entry) -> None:
        number, name = entry.get("id"), entry.get("name")
        if not isinstance(number, int | str) or not isinstance(name, str):
            self.fault("not_coco", f"a category needs an id and a name, and this is {shown(entry)}", row)
        else:
            read.categories[read.category_ids.code(number)] = name

    def _annotation(self, read: Read, row: int, entry: Entry) -> None:
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(is_place(number) for number in box):
            self.fault("not_a_box", f"bbox is {shown(box)}, not [x, y, width, height] in pixels", row)
            return
        image, category = read.image_ids.code(entry.get("image_id")), read.category_ids.code(entry.get("category_id"))
        read.refers.extend((row, image, category, bool(entry.get("iscrowd"))))
        read.boxes.extend((box[0], box[1], box[0] + box[2], box[1] + box[3]))

    def names(self, read: Read) -> list[str]:
        """Of the categories, by their ids."""
        ids = {code: number for number, code in read.category_ids.given.items()}
        ranked = sorted(read.categories, key=lambda code: (isinstance(ids[code], str), ids[code]))
        return [read.categories[code] for code in ranked]

    def join(self, read: Read, paths: Paths) -> None:
        """Adds the boxes of the pictures that are there."""
        places: dict[int, int] = {}
        for code, (row, name, height, width) in read.images.items():
            found = paths.find(name, self.member.path)
            if not isinstance(found, int):
                self.fault(*found, row)
                continue
            places[code] = found
            self.marks.listed.add(found)
            if isinstance(height, int) and isinstance(width, int):
                self.marks.said[found] = (height, width)
        positions = {name: position for position, name in enumerate(self.marks.names)}
        images, categories = list(read.image_ids.given), list(read.category_ids.given)
        for number in range(0, len(read.refers), 4):
            row, image, category, crowd = read.refers[number : number + 4]
            if image not in read.images:
                self.fault("unknown_image", f"there is no image of the id {shown(images[image])}", row)
            elif category not in read.categories:
                known = ", ".join(repr(categories[code]) for code in list(read.categories)[:20])
                problem = f"there is no category of the id {shown(categories[category])}; known are {known}"
                self.fault("unknown_category", problem, row, places.get(image))
            elif image in places:
                position = positions[read.categories[category]]
                self.marks.add(places[image], position, read.boxes[number : number + 4], row, crowd=bool(crowd))


def read_coco(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> Marks:
    """The boxes of all files: categories of one name are one class. Faults go to the context."""
    marks = Marks("COCO")
    files = [CocoFile(archive, member, marks, context) for member in members]
    opened = [(file, file.read()) for file in files]
    marks.names = list(dict.fromkeys(name for file, read in opened if read for name in file.names(read)))
    for file, read in opened:
        marks.files.append(file.name)
        if read is not None:
            file.join(read, paths)
    return marks
