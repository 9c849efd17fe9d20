"""Knows files that people send and nobody here reads, by how they begin, and says what to send instead.

Opens none of them: of a ZIP it looks at the table of contents alone.
"""

import codecs
import re
from typing import IO

from worker.ingest.archives import containers
from worker.ingest.signatures import medium

TABLE = "save the table as CSV or Parquet"
PICKLE = "reading it could run any code, so it is not read; save numbers as NPY, NPZ or Parquet"
PICTURE = "is a single picture; put pictures into a ZIP or TAR, or into the cells of a table"
PACKED = "is packed with {}; gzip, zstd, ZIP and TAR are read"
BEGINNINGS = (
    (b"\x80", f"is a pickle: {PICKLE}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"is a document of Microsoft Office; {TABLE}"),
    (b"%PDF", "is a PDF; send its text"),
    (b"{\\rtf", "is a document in RTF; send its text"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file; save its arrays as NPZ or Parquet"),
    (b"SQLite format 3\0", f"is an SQLite database; {TABLE}"),
    (b"Obj\x01", f"is an Avro file; {TABLE}"),
    (b"\xfd7zXZ\0", PACKED.format("xz")),
    (b"7z\xbc\xaf\x27\x1c", PACKED.format("7z")),
    (b"Rar!\x1a\x07", PACKED.format("RAR")),
)
LIKE_WORDS = (
    (b"BZh", PACKED.format("bzip2")),
    (b"ORC", f"is an ORC file; {TABLE}"),
    (b"MATLAB 5.0", "is a MATLAB file; save its arrays as NPZ or CSV"),
)
"""Beginnings that a text may have as well."""
FILM = (b"ftyp", "is MP4, MOV or M4A; send recordings as WAV, FLAC, OGG or MP3, pictures in a ZIP or TAR")
DOCUMENTS = (
    ("xl/workbook.xml", f"is an Excel workbook; {TABLE}"),
    ("xl/workbook.bin", f"is an Excel workbook; {TABLE}"),
    ("word/document.xml", "is a Word document; send its text"),
    ("ppt/presentation.xml", "is a presentation; send its text, or its pictures in a ZIP"),
    ("META-INF/manifest.xml", f"is an OpenDocument file; {TABLE}, or send its text"),
)
"""By a member of the ZIP that they are."""
WEIGHTS = "data.pkl"
PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html[\s>])", re.IGNORECASE)
NO_TEXT = re.compile(r"\.(csv|tsv|jsonl?|ndjson|npy|npz|parquet|arrow|feather|zip|tar)(\.gz|\.zst)?$", re.IGNORECASE)
"""Endings of names under which nobody keeps a page."""


def recognise(first: bytes, stream: IO[bytes], name: str) -> str | None:
    """What a file is that begins so and is not read, in words; None for all others."""
    if first.startswith(b"PK"):
        return _document(containers.names(stream))
    if first[4:8] == FILM[0]:
        return FILM[1]
    if medium(first) == "image":
        return PICTURE
    if PAGE.match(first) and NO_TEXT.search(name):
        return "is a page of HTML, as servers send in place of a file; download the file itself, or send texts as .txt"
    known = BEGINNINGS if _is_text(first) else (*BEGINNINGS, *LIKE_WORDS)
    return next((words for beginning, words in known if first.startswith(beginning)), None)


def _document(names: list[str]) -> str | None:
    held = set(names)
    if any(name == WEIGHTS or name.endswith(f"/{WEIGHTS}") for name in held):
        return f"holds pickled weights of PyTorch: {PICKLE}"
    return next((words for name, words in DOCUMENTS if name in held), None)


def _is_text(first: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(first)
    except UnicodeDecodeError:
        return False
    return b"\0" not in first
