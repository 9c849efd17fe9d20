"""Says what a text's letters are written in when they are not UTF-8, and what to do about it. Reads nothing."""

import codecs

from worker.ingest.faults import Faults, shown
from worker.ingest.source import Input

MARK = codecs.BOM_UTF8
AROUND = 20
SEEN = 64
"""Bytes among which a text in UTF-16 shows by its zeros."""


def is_utf16(first: bytes) -> bool:
    """By its byte-order mark, or by zeros in every second place as Latin letters give them."""
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    seen = first[: min(SEEN, len(first) // 2 * 2)]
    even, odd = seen[::2], seen[1::2]
    return len(seen) >= 8 and any(not any(a) and all(b) for a, b in ((even, odd), (odd, even)))


def refuse(file: Input, raw: bytes, faults: Faults, *, row: int | None = None) -> None:
    """The fault of `raw`, a text's beginning or one row of it, which is not UTF-8."""
    where = f"{file.name}, row {row:,}," if row is not None else file.name
    if row is None and is_utf16(raw):
        faults.add("not_utf8", f"{where} is a text in UTF-16; save it as UTF-8", file=file.id)
        return
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        start = error.start
        part = raw[max(0, start - AROUND) : start + AROUND]
        as_latin = part.decode("cp1252", "replace")
        faults.add(
            "not_utf8",
            f"{where} is not UTF-8: byte {start} is 0x{raw[start]:02x}; in Latin-1 it would read {shown(as_latin)}. "
            "Save it as UTF-8",
            file=file.id,
            row=row,
        )
