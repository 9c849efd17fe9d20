"""An archive of neither pictures nor recordings: the tables in it are unpacked, or one text, as gzip would be.

Tables called like splits, as competitions hand them out, are these. Knows no table's format.
"""

import io
import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace

from worker.ingest.archives import foreign
from worker.ingest.archives.containers import BROKEN, Archive, Member, is_tar
from worker.ingest.archives.folders import PARTS, is_split, split_name
from worker.ingest.archives.item_names import stem
from worker.ingest.archives.items import MOST_BYTES, contents
from worker.ingest.archives.naming import TO_FILL_IN
from worker.ingest.faults import counted, shown, some
from worker.ingest.readers import arrays
from worker.ingest.signatures import medium
from worker.ingest.source import Context, Input

ITEM = re.compile(
    r"\.(png|jpe?g|webp|gif|bmp|tiff?|heic|avif|svg|wav|flac|ogg|opus|mp3|m4a|aac|wma|aiff?)$", re.IGNORECASE
)
"""Names of pictures and recordings, those that are not read included: what is wrong with such a file is said of it."""
TABLE = re.compile(
    r"\.(csv|tsv|ts|arff|svm|svmlight|libsvm|jsonl?|ndjson|parquet|arrow|feather)(\.gz|\.zst)?$", re.IGNORECASE
)
SERIES = "ts"
LINES = re.compile(r"\.txt$", re.IGNORECASE)
LOOKED_AT = 16
FIRST = 4096


def holds_items(archive: Archive) -> bool:
    """Whether there may be pictures or recordings: by any name, or by how the first members begin."""
    members = contents(archive)
    named = any(ITEM.search(member.path) for member in members)
    return named or not members or any(medium(_first(member)) for member in members[:LOOKED_AT])


def find_tables(archive: Archive) -> list[Member]:
    """The members whose rows are the dataset's: tables, or else texts called like splits, or the only one."""
    members = contents(archive)
    if len(members) == 1:
        return members
    found = [member for member in members if TABLE.search(member.path)]
    texts = [member for member in members if _is_text_of_split(member.path)]
    splits = {_split(member.path) for member in texts}
    if not found and len(splits) > 1 and 2 * len(texts) > len(members):
        return texts
    return _once([member for member in found if not TO_FILL_IN.search(member.path)] or found)


def _once(tables: list[Member]) -> list[Member]:
    """The tables without those that are there in another format as well, as archives of series have them."""
    formats: dict[str, list[Member]] = {}
    for member in tables:
        formats.setdefault(_ending(member.path), []).append(member)
    most = max(formats.items(), key=lambda each: (len(each[1]), each[0] == SERIES), default=("", tables))[1]
    names = {TABLE.sub("", member.path) for member in most}
    return most if all(TABLE.sub("", member.path) in names for member in tables) else tables


def _ending(path: str) -> str:
    found = TABLE.search(path)
    return found[1].lower() if found else ""


def unpack(archive: Archive, tables: Sequence[Member], context: Context, *, by_name: bool) -> list[Input]:
    """The tables as files of their own; none where they do not belong together, and the fault says why.

    If splits go `by_name`, tables have those that they are called by, where they are called by several.
    """
    members = contents(archive)
    packed = next((member for member in tables or members if _is_archive(_first(member))), None)
    if packed is not None or not tables:
        odd = packed or members[0]
        other = "an archive itself" if packed else "none, and no table"
        remedy = (
            "send tables and texts without one, or each in one of its own, or a row as a text in its class's folder"
        )
        what = _stranger(odd) or f"is {other}; {remedy}"
        _refuse(archive, "no_items", f"holds no pictures and no recordings: {shown(odd.path)} {what}", context)
        return []
    splits = _splits(archive, tables, context) if by_name else [""] * len(tables)
    if len(tables) < len(members):
        left = len(members) - len(tables)
        known = {member.path for member in tables}
        names = some([member.path for member in members if member.path not in known])
        context.inferred["tables"].append(f"{archive.file.name}: {counted(left, 'file')} passed over, {names}")
    found = [(archive.unpack(member, context), split) for member, split in zip(tables, splits, strict=True)]
    return [replace(file, split=split) for file, split in found if file is not None]


def _splits(archive: Archive, tables: Sequence[Member], context: Context) -> list[str]:
    """The split of every table, empty where their names say none."""
    splits = [_split(member.path) for member in tables]
    named = set(filter(None, splits))
    if len(named) < 2 or "train" not in named:
        return [""] * len(tables)
    if "" in splits:
        other = shown(tables[splits.index("")].path)
        beside = some([member.path for member, split in zip(tables, splits, strict=True) if split])
        _refuse(
            archive,
            "unknown_split",
            f"has {other} beside {beside}; every table must be called by one of train, validation and test, or none: "
            "take it out, or send as files of their own the tables that belong together",
            context,
        )
    return splits


def _is_text_of_split(path: str) -> bool:
    """Whether it is called like a split, or ends in one: `train.txt`, `a1a.train`."""
    named, ending = posixpath.splitext(posixpath.basename(path))
    return bool(named and is_split(ending[1:])) or bool(LINES.search(path) and is_split(stem(path)))


def _split(path: str) -> str:
    """What a table is called, a part of its name, or a folder in which it lies; empty where that is no split."""
    folder, name = posixpath.split(TABLE.sub("", path))
    for parts in ([name], PARTS.split(name), folder.split("/")):
        found = {split_name(part) for part in parts if is_split(part)}
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""


def _is_archive(begins: bytes) -> bool:
    return begins.startswith(arrays.ZIP_MAGIC) or is_tar(begins)


def _stranger(member: Member) -> str | None:
    """What a file is, in words, that is known and read nowhere."""
    try:
        content = member.read() if member.size <= MOST_BYTES else _first(member)
    except (*BROKEN, ValueError):
        return None
    return foreign.recognise(content[:FIRST], io.BytesIO(content), member.path)


def _refuse(archive: Archive, code: str, problem: str, context: Context) -> None:
    context.faults.add(code, f"{archive.file.name} {problem}", file=archive.file.id)


def _first(member: Member) -> bytes:
    try:
        return next(iter(member.chunks()), b"")
    except (*BROKEN, ValueError):
        return b""
