"""Rows of an archive in a list in JSON, in lines of JSON called `.json`, or as COCO's captions: read as JSON lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.readers import encoding, json_lists
from worker.ingest.readers.transcripts import FILE_NAME

JSON = re.compile(r"\.json$", re.IGNORECASE)
LIST = re.compile(rb"\s*\[\s*\{")
LINES = re.compile(rb"\s*\{[^\n]*\}\r?\n\s*\{")
NESTED = re.compile(rb'"annotations"\s*:\s*[\[{]')
"""In the rows of tools that draw boxes: what lies in there is no column."""
CAPTION, IMAGE = "caption", "image_id"


def as_lines(member: Member) -> Member:
    """Such a file as `.jsonl`; any other as it is."""
    if not JSON.search(member.path):
        return member
    lines = replace(member, path=f"{member.path}l")
    try:
        first = next(member.chunks(), b"").removeprefix(encoding.MARK)
        if LIST.match(first):
            return member if NESTED.search(first) else replace(lines, chunks=lambda: _lines(member))
        if LINES.match(first) and not NESTED.search(first):
            return lines
        return replace(lines, chunks=lambda: _captions(member)) if _holds_captions(member) else member
    except (*BROKEN, ValueError):
        return member


def _lines(member: Member) -> Iterator[bytes]:
    for row in json_lists.members(member.chunks()):
        yield _line(row)


def _holds_captions(member: Member) -> bool:
    """Whether the first of COCO's annotations is a caption."""
    of_all = (entry for key, row, entry in json_lists.elements(member.chunks()) if row and key == "annotations")
    first = next(of_all, None)
    return isinstance(first, dict) and {CAPTION, IMAGE} <= set(first) and "bbox" not in first


def _captions(member: Member) -> Iterator[bytes]:
    """A row for every caption; one of no picture keeps the id as its name, and is a fault."""
    names: dict[str, Any] = {}
    for key, _, entry in json_lists.elements(member.chunks()):
        if key == "images" and isinstance(entry, dict):
            names[json.dumps(entry.get("id"))] = entry.get("file_name")
    for key, _, entry in json_lists.elements(member.chunks()):
        if key == "annotations" and isinstance(entry, dict):
            number = json.dumps(entry.get(IMAGE))
            yield _line({FILE_NAME: str(names.get(number, number)), CAPTION: entry.get(CAPTION)})


def _line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"
