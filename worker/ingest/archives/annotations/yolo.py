"""Reads YOLO's text files: one for every picture, a line `class x y width height` for every box, in shares of the
picture's size, x and y in its middle. `data.yaml` or `classes.txt` names the classes. Knows no pixels.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence

import yaml

from worker.ingest.archives.annotations.marks import BOXES, Marks
from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.faults import shown
from worker.ingest.source import Context, Input

NAMES = re.compile(r"(^|/)(?:classes\.txt|obj\.names|[^/]*\.ya?ml)$", re.IGNORECASE)
"""Files that name the classes."""
MOST_BYTES = 4 << 20
"""Of one text file."""
FIELDS = 5
MOST_CLASSES = 10_000
"""Where they have no names."""
FARTHEST = 1e3
"""Widths or heights of the picture."""


def read_yolo(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> Marks:
    """The boxes of all files; a picture without a file shows nothing. Faults go to the context."""
    marks = Marks("YOLO", relative=True, complete=False)
    named = [member for member in members if NAMES.search(member.path)]
    rest = [member for member in members if not NAMES.search(member.path)]
    if named:
        first = min(named, key=lambda member: (member.path.count("/"), member.path))
        marks.names = _names(archive, first, context)
    highest = -1
    for member in rest:
        context.tick(0)
        marks.files.append(f"{archive.name}/{member.path}")
        found = paths.find_stem(member.path, _beside(member.path))
        if not isinstance(found, int):
            marks.fault(found[0], f"{marks.files[-1]}: {found[1]}", archive, None, context)
            continue
        marks.listed.add(found)
        text = _text(archive, member, context)
        for row, line in enumerate((text or "").splitlines(), 1):
            if line.strip():
                highest = max(highest, _take(line, row, found, marks, archive, context))
    if not marks.names:
        marks.names = [str(number) for number in range(highest + 1)]
    return marks


def _beside(path: str) -> str:
    """`images/a` for `labels/a`: the last folder of that name."""
    parts = path.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].casefold() == "labels":
            return "/".join([*parts[:place], "images", *parts[place + 1 :]])
    return path


def _take(line: str, row: int, picture: int, marks: Marks, archive: Input, context: Context) -> int:
    """Adds the box of a line and gives its class; -1 where there is none."""
    fields = line.split()
    try:
        position, (x, y, width, height) = int(fields[0]), [float(each) for each in fields[1:]]
    except ValueError:
        position, x, y, width, height = -1, 0.0, 0.0, 0.0, 0.0
    where = f"{marks.files[-1]}, row {row:,}"
    if position < 0 or not all(-FARTHEST <= each <= FARTHEST for each in (x, y, width, height)):
        problem = f"{shown(line)} is no box; give class x y width height, the four in shares of the picture's size"
        marks.fault("not_a_box", f"{where}: {problem}", archive, row, context, picture)
        return -1
    if position >= (len(marks.names) or MOST_CLASSES):
        problem = f"there is no class {position}; {len(marks.names)} have a name, from 0"
        marks.fault("unknown_category", f"{where}: {problem}", archive, row, context, picture)
        return -1
    marks.add(picture, position, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), row)
    return position


def _names(archive: Input, member: Member, context: Context) -> list[str]:
    text = _text(archive, member, context)
    if text is None:
        return []
    if not member.path.lower().endswith((".yaml", ".yml")):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise yaml.YAMLError("it has aliases, which are not read")
        held = yaml.safe_load(text)
        names = held.get("names") if isinstance(held, Mapping) else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        _refuse(archive, member, f"is no YAML: {' '.join(str(error).split())}", context)
        return []
    if isinstance(names, Mapping) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        _refuse(
            archive, member, f"has the names {shown(names)}; give a list, or numbers from 0 with a name each", context
        )
        return []
    return [str(name) for name in names]


def _text(archive: Input, member: Member, context: Context) -> str | None:
    if member.size > MOST_BYTES:
        _refuse(archive, member, f"has {member.size:,} bytes; at most {MOST_BYTES:,} are read", context)
        return None
    try:
        return member.read().decode("utf-8-sig")
    except (*BROKEN, ValueError) as error:
        _refuse(archive, member, f"cannot be read: {error}", context)
        return None


def _refuse(archive: Input, member: Member, problem: str, context: Context) -> None:
    context.faults.add("not_yolo", f"{archive.name}/{member.path} {problem}", file=archive.id, column=BOXES)


def is_yolo(paths: Sequence[str]) -> bool:
    """By a folder called labels with texts in it, or by a file that names the classes and others for the pictures."""
    texts = [path for path in paths if path.lower().endswith(".txt") and not NAMES.search(path)]
    in_labels = any("labels" in posixpath.dirname(path).casefold().split("/") for path in texts)
    return in_labels or (bool(texts) and any(NAMES.search(path) for path in paths))
