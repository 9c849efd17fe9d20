"""Tells the formats of files by how they begin. Opens none."""

from app.ml.audio import sounds
from app.ml.text.scripts import count_words
from worker.ingest.archives import containers
from worker.ingest.planning.names import WORDS
from worker.ingest.readers import arrays, arrow, attributes, dialect, encoding, idx, jsonl, measured, parquet
from worker.ingest.readers.unpack import packed_with

AUDIO = "audio"
TAB = "\t"
NEVER_TEXT = (b"\x80", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
"""How pickles, documents and pictures begin, that may hold no zero among their first bytes."""


def detect(first: bytes, wanted: str | None = None) -> str | None:
    """The format by the first bytes of a file; None when it is none. Delimited text is TSV if so wanted."""
    if first.startswith(arrays.MAGIC):
        return "npy"
    if first.startswith((arrays.ZIP_MAGIC, b"PK\x05\x06")):  # the second is an archive of nothing
        return "zip"
    if containers.is_tar(first):
        return "tar"
    if sounds.is_sound(first):
        return AUDIO
    if idx.is_idx(first):
        return "idx"
    if first.startswith(parquet.MAGIC):
        return "parquet"
    if first.startswith((arrow.FILE_MAGIC, arrow.STREAM_MAGIC)):
        return "arrow"
    if b"\0" in first or first.startswith(NEVER_TEXT) or packed_with(first):
        return None
    if jsonl.START.match(first.removeprefix(encoding.MARK)):
        return "jsonl"
    if wanted == "txt":
        return "txt"
    if attributes.has_attributes(first):
        return "arff"
    if measured.holds_series(first):
        return "ts"
    has_tab = TAB.encode() in first.splitlines()[0]
    return "tsv" if wanted == "tsv" and (has_tab or b"," not in first) else "csv"


def is_prose(first: bytes, name: str) -> bool:
    """Whether a text that begins so is no table: rows of a table have equally many cells, prose has words."""
    if name.lower().removesuffix(".gz").removesuffix(".zst").endswith((".csv", ".tsv")):
        return False
    whole = first[: first.rfind(b"\n") + 1] or first
    text = [line for line in whole.decode("utf-8", "replace").splitlines() if line.strip()]
    if not text:
        return False
    words = sum(map(count_words, text)) / len(text)
    named = name.lower().endswith(".txt")
    for delimiter in dialect.DELIMITERS:
        rows = dialect.first_rows("\n".join(text), delimiter)
        if dialect.is_regular(rows):  # sentences with one comma each have a space behind it, and more words than cells
            spaced = delimiter == "," and whole.count(b",") == whole.count(b", ")
            return named and spaced and words >= WORDS * len(rows[0])
    return words >= WORDS or (named and not all(map(dialect.is_number, text)))
