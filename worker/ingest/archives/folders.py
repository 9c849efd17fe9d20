"""Reads class and split from where an item lies: `[split/]class/item`, as imagefolder and audiofolder have it."""

import re
from collections.abc import Sequence

import numpy as np

from worker.ingest.archives.containers import Archive
from worker.ingest.source import Coded, Context

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""By a folder's name in lower case, without what stands behind it."""
UNLABELLED = ("unsup", "unsupervised", "unlabeled", "unlabelled")
"""Folders of items whose class nobody knows."""
BEHIND = re.compile(r"(?<=[a-z])\d{4}$|-(clean|other)(-\d+)?$")
"""The year in COCO's names, the kind of recordings and their hours in LibriSpeech's."""
PARTS = re.compile(r"[-_. ]|(?<=[a-z])(?=[A-Z])")
"""What stands between the parts of a name."""
LABEL_NOTE = "the folder in which the {} lies"
SPLIT_NOTE = "the top folders {}"


def split_name(given: str) -> str:
    """train, validation or test for what people call them; anything else as it is."""
    return SPLIT_FOLDERS.get(BEHIND.sub("", given.casefold()), given)


def is_split(given: str) -> bool:
    return split_name(given) in SPLIT_FOLDERS.values()


def read_folders(archive: Archive, paths: Sequence[str], context: Context) -> tuple[Coded | None, Coded | None, str]:
    """Labels and splits of the items at `paths`, None where no folder gives any, and the split folders' names."""
    folders = [path.split("/")[:-1] for path in paths]
    while folders and len({tuple(each[:1]) for each in folders}) == 1 and all(len(each) > 1 for each in folders):
        if split_name(folders[0][0]) == "train":
            break
        folders = [each[1:] for each in folders]  # a folder around everything says nothing
    tops = {each[0] if each else "" for each in folders}
    named = {top for top in tops if is_split(top)}
    splits: Coded | None = None
    called = {top: split_of(top) for top in tops}
    if not named and len(set(called.values())) > 1 and "train" in called.values() and all(called.values()):
        named = tops
    if named and named == tops:
        splits = code([called[each[0]] for each in folders])
        folders = [each[1:] for each in folders]
    elif len(named) > 1:
        other = sorted(tops - named)[0]
        where = f"the folder {other!r}" if other else "files"
        context.faults.add(
            "unknown_split",
            f"{archive.file.name} has {where} beside {', '.join(sorted(named))}; every one must lie in one of "
            "train, validation and test, or none",
            file=archive.file.id,
        )
    labels = [each[-1] if each and each[-1].casefold() not in UNLABELLED else None for each in folders]
    return code(labels) if any(labels) else None, splits, ", ".join(sorted(named))


def split_of(given: str) -> str:
    """The split that a name or a part of it is called by, as in `news-train`; empty where none or several."""
    found = {split_name(part) for part in (given, *PARTS.split(given)) if is_split(part)}
    return found.pop() if len(found) == 1 else ""


def code(names: Sequence[str | None]) -> Coded:
    """Every name as its position among them; None is -1."""
    positions: dict[str, int] = {}
    codes = [-1 if name is None else positions.setdefault(name, len(positions)) for name in names]
    return Coded(list(positions), np.array(codes, np.int32))
