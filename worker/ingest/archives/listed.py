"""Rows of an archive in a list in JSON, in an object by the names of files, in lines of JSON called `.json`, as COCO's
captions, or as those of Karpathy & Fei-Fei (2015), which come with splits: read as JSON lines."""

import json
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from app.ml.text.scripts import count_words
from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.planning.names import WORDS
from worker.ingest.readers import encoding, json_lists
from worker.ingest.readers.transcripts import FILE_NAME

JSON = re.compile(r"\.json$", re.IGNORECASE)
LIST = re.compile(rb"\s*\[\s*\{")
LINES = re.compile(rb"\s*\{[^\n]*\}\r?\n\s*\{")
NESTED = re.compile(rb'"annotations"\s*:\s*[\[{]')
"""In the rows of tools that draw boxes: what lies in there is no column."""
ENDING = re.compile(r"\.[a-z]\w{1,4}$", re.IGNORECASE)
TEXT, LABEL, TAGS = "text", "label", "tags"
CAPTION, IMAGE, IMAGES, ANNOTATIONS = "caption", "image_id", "images", "annotations"
SENTENCES, SPLIT = "sentences", "split"
REST = {"restval": "train"}


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
        rows = _kind(member)
        return member if rows is None else replace(lines, chunks=lambda: rows(member))
    except (*BROKEN, ValueError):
        return member


def _lines(member: Member) -> Iterator[bytes]:
    for row in json_lists.members(member.chunks()):
        yield _line(row)


def _kind(member: Member) -> Callable[[Member], Iterator[bytes]] | None:
    """What reads its rows: by a first key that is called like a file, the first picture with sentences, or the first of
    COCO's annotations."""
    for number, (key, row, entry) in enumerate(json_lists.elements(member.chunks())):
        if not number and ENDING.search(key) and not (row and isinstance(entry, list | dict)):
            return _by_name
        if row and isinstance(entry, dict):
            if key == IMAGES and SENTENCES in entry:
                return _sentences
            if key == ANNOTATIONS:
                return _captions if {CAPTION, IMAGE} <= set(entry) and "bbox" not in entry else None
    return None


def _by_name(member: Member) -> Iterator[bytes]:
    """A row for every key: what an object holds under it, a text, or else a label; where lists stand under keys, a row
    for each of their texts, or else all their tags."""
    column = _column(entry for _, entry in json_lists.pairs(member.chunks()) if not isinstance(entry, dict))
    for name, entry in json_lists.pairs(member.chunks()):
        if isinstance(entry, dict):
            yield _line({**entry, FILE_NAME: name})
            continue
        several = entry if isinstance(entry, list) else [entry]
        for value in [several] if column == TAGS else several:
            yield _line({column: value, FILE_NAME: name})


def _column(entries: Iterator[Any]) -> str:
    """What the values under names are: the first that says something decides whether texts."""
    listed, first = False, None
    for entry in entries:
        listed = listed or isinstance(entry, list)
        first = first or (entry[0] if isinstance(entry, list) and entry else entry)
    if isinstance(first, str) and count_words(first) >= WORDS:
        return TEXT
    return TAGS if listed else LABEL


def _sentences(member: Member) -> Iterator[bytes]:
    """A row for every sentence of a picture; training takes those that are left over from validation, too."""
    for key, row, entry in json_lists.elements(member.chunks()):
        if not row or key != IMAGES:
            continue
        given = entry if isinstance(entry, dict) else {}
        name = posixpath.join(str(given.get("filepath") or ""), str(given.get("filename")))
        split = {} if given.get(SPLIT) is None else {SPLIT: REST.get(str(given[SPLIT]), given[SPLIT])}
        for sentence in given.get(SENTENCES) or []:
            yield _line({FILE_NAME: name, CAPTION: _said(sentence), **split})


def _said(sentence: Any) -> Any:
    return (sentence.get("raw") or " ".join(sentence.get("tokens") or [])) if isinstance(sentence, dict) else sentence


def _captions(member: Member) -> Iterator[bytes]:
    """A row for every caption; one of no picture keeps the id as its name, and is a fault."""
    names: dict[str, Any] = {}
    for key, _, entry in json_lists.elements(member.chunks()):
        if key == IMAGES and isinstance(entry, dict):
            names[json.dumps(entry.get("id"))] = entry.get("file_name")
    for key, _, entry in json_lists.elements(member.chunks()):
        if key == ANNOTATIONS and isinstance(entry, dict):
            number = json.dumps(entry.get(IMAGE))
            yield _line({FILE_NAME: str(names.get(number, number)), CAPTION: entry.get(CAPTION)})


def _line(row: Any) -> bytes:
    return json.dumps(row).encode() + b"\n"
