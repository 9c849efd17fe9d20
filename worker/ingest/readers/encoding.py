"""Says what a text's letters are written in, and what to do about those that cannot be told. Reads nothing."""

import codecs
import re

from worker.ingest.faults import Faults, shown
from worker.ingest.source import Input

MARK = codecs.BOM_UTF8
OURS = "utf-8"
MARKS = {
    MARK: OURS,
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins like the next but one
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WINDOWS = re.compile(rb"[\x80-\x9f]")
"""Quotes, dashes and the euro in cp1252, control characters in Latin-1."""
RUNS = re.compile(rb"[\x80-\xff]{3,}")
"""Letters of another script side by side; in Latin ones most are ASCII."""
OTHERS = ("cp1251", "koi8-r", "shift_jis", "gb18030")
"""What texts of other scripts are most often written in."""
AROUND = 20
SEEN = 64
"""Bytes among which a text in UTF-16 shows by its zeros."""


def certain(first: bytes) -> str | None:
    """The codec by the byte-order mark, or of UTF-16 by zeros in every second place as Latin letters give them."""
    for mark, codec in MARKS.items():
        if first.startswith(mark):
            return codec
    seen = first[: min(SEEN, len(first) // 2 * 2)]
    even, odd = seen[::2], seen[1::2]
    if len(seen) < 8:
        return None
    if all(even) and not any(odd):
        return "utf-16-le"
    return "utf-16-be" if all(odd) and not any(even) else None


def shown_as(codec: str) -> str:
    """UTF-16 for utf-16-le."""
    return codec.upper().removesuffix("-LE").removesuffix("-BE")


def refuse(file: Input, raw: bytes, faults: Faults, *, row: int | None = None) -> None:
    """The fault of `raw`, a text's beginning or one row of it, which is not UTF-8."""
    where = f"{file.name}, row {row:,}," if row is not None else file.name
    codec = certain(raw) if row is None else None
    if codec not in (None, OURS):
        faults.add("not_utf8", f"{where} is a text in {shown_as(str(codec))}; save it as UTF-8", file=file.id)
        return
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        faults.add("not_utf8", f"{where} {problem(error, OURS)}", file=file.id, row=row)


def problem(error: UnicodeDecodeError, codec: str) -> str:
    """What is wrong with a text that is not written in `codec`, in words."""
    raw, start = error.object, error.start
    where = f"is not {shown_as(codec)}: byte {start:,} is 0x{raw[start]:02x}"
    if codec != OURS:
        return f"{where}: {error.reason}. Save it as UTF-8, or give another encoding"
    part = raw[max(0, start - AROUND) : start + AROUND]
    is_latin = 2 * sum(map(len, RUNS.findall(raw))) < sum(byte >= 0x80 for byte in raw)
    likely = ("cp1252" if WINDOWS.search(raw) else "Latin-1",) if is_latin else OTHERS
    read = [f"in {codec} it would read {shown(part.decode(codec, 'replace'))}" for codec in likely]
    return (
        f"{where}; {', '.join(read)}. "
        f"Save it as UTF-8, or give encoding {' or '.join(likely).lower()}, or another where these read wrong"
    )
