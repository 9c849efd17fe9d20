"""Rows of an archive that lie in a list in JSON, or in lines of JSON called `.json`: they are read as JSON lines."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.readers import encoding, json_lists

JSON = re.compile(r"\.json$", re.IGNORECASE)
LIST = re.compile(rb"\s*\[\s*\{")
LINES = re.compile(rb"\s*\{[^\n]*\}\r?\n\s*\{")
NESTED = re.compile(rb'"annotations"\s*:\s*[\[{]')
"""In the rows of tools that draw boxes: what lies in there is no column."""


def as_lines(member: Member) -> Member:
    """Such a file as `.jsonl`; any other as it is."""
    if not JSON.search(member.path):
        return member
    try:
        first = next(member.chunks(), b"").removeprefix(encoding.MARK)
    except (*BROKEN, ValueError):
        return member
    if NESTED.search(first):
        return member
    if LIST.match(first):
        return replace(member, path=f"{member.path}l", chunks=lambda: _lines(member))
    return replace(member, path=f"{member.path}l") if LINES.match(first) else member


def _lines(member: Member) -> Iterator[bytes]:
    for row in json_lists.members(member.chunks()):
        yield json.dumps(row).encode() + b"\n"
