"""Reads the `metadata.csv` of speech corpora in the manner of LJSpeech: `id|transcript|normalised transcript`, without
a header and without quotes. It becomes JSON lines, which name the recording whose file is called like the id.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import IO

import orjson

from worker.ingest.readers import encoding
from worker.ingest.source import Context, Input

BAR = "|"
COLUMNS = ("transcript", "normalised")
FILE_NAME = "file_name"
SAMPLE_BYTES = 1 << 16


def is_transcripts(stream: IO[bytes]) -> bool:
    """By the first line: bars, two at most, and no name of a column."""
    stream.seek(0)
    line = stream.readline(SAMPLE_BYTES)
    return 1 <= line.count(BAR.encode()) <= len(COLUMNS) and FILE_NAME.encode() not in line


def by_stem(folder: str, paths: Sequence[str]) -> dict[str, str]:
    """Paths as seen from `folder`, by the file's name without folders and ending; of equal names the first counts."""
    found: dict[str, str] = {}
    for path in paths:
        if path.startswith(f"{folder}/") or not folder:
            found.setdefault(posixpath.splitext(posixpath.basename(path))[0], posixpath.relpath(path, folder or "."))
    return found


def to_json_lines(file: Input, names: Mapping[str, str], context: Context) -> Input | None:
    """The same rows as JSON lines; None when they are no UTF-8, and the fault says why."""
    made = context.temporary()
    file.stream.seek(0)
    for line in file.stream:
        try:
            id, *texts = line.decode("utf-8-sig").rstrip("\r\n").split(BAR, len(COLUMNS))
        except UnicodeDecodeError:
            encoding.refuse(file, line, context.faults)
            return None
        name = names.get(id, id)
        made.write(orjson.dumps({FILE_NAME: name, **dict(zip(COLUMNS, texts, strict=False))}) + b"\n")
        context.tick(0)
    made.flush()
    return replace(file, stream=made, size=made.tell())
