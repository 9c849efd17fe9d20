"""Reads the lists that say which pictures are in which split, as Pascal VOC and YOLO have them: `train.txt`, `val.txt`,
`test.txt`, a line for every picture. Opens no picture.
"""

import re
from collections.abc import Sequence

from worker.ingest.archives.annotations.paths import Paths
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.folders import split_name
from worker.ingest.faults import shown
from worker.ingest.source import Context, Input

LISTS = re.compile(r"(^|/)(train|val|valid|validation|test)\.txt$", re.IGNORECASE)
MOST_BYTES = 256 << 20
SPLIT = "split"


def read_lists(archive: Input, members: Sequence[Member], paths: Paths, context: Context) -> list[str | None]:
    """The split of every picture; a picture in none or in two of the lists is a fault."""
    found: list[str | None] = [None] * len(paths.paths)
    for member in members:
        name = f"{archive.name}/{member.path}"
        split = split_name(member.path.rpartition("/")[2].rpartition(".")[0])
        try:
            if member.size > MOST_BYTES:
                raise ValueError(f"it has {member.size:,} bytes; at most {MOST_BYTES:,} are read")
            lines = member.read().decode("utf-8-sig").splitlines()
        except (*BROKEN, ValueError) as error:
            context.faults.add("damaged", f"{name} cannot be read: {error}", file=archive.id, column=SPLIT)
            continue
        for row, line in enumerate(lines, 1):
            context.tick(0)
            if not line.strip():
                continue
            picture = paths.find_stem(line.strip().removeprefix("./"))
            code, problem = ("", "") if isinstance(picture, int) else picture
            if isinstance(picture, int) and (problem := put(picture, split, found, paths)):
                code = "two_splits"
            if code:
                context.faults.row(code, f"{name}, row {row:,}: {problem}", file=archive.id, row=row, column=SPLIT)
    return found


def put(picture: int, split: str, splits: list[str | None], paths: Paths) -> str:
    """Puts a picture into a split, unless it is in another one already: then says so."""
    if splits[picture] not in (None, split):
        return f"{shown(paths.paths[picture])} is in {splits[picture]}, too"
    splits[picture] = split
    return ""
