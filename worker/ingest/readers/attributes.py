"""Reads tables of Weka (ARFF) and of KEEL, in front of which stands a name for every column: as CSV, block by block.

Columns' kinds are told by what they hold, as in any CSV; what a file declares of them beside names is passed over.
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import replace

from worker.ingest.faults import shown
from worker.ingest.readers.blocks import whole_lines
from worker.ingest.readers.tables import Table, open_table
from worker.ingest.readers.unpack import CHUNK
from worker.ingest.source import Context, Input

HEAD = re.compile(rb"(\xef\xbb\xbf)?(?:[ \t]*(?:%[^\n]*)?\r?\n)*[ \t]*@relation\b", re.IGNORECASE)
ATTRIBUTE = re.compile(r"@attribute\s+('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s{]+)\s*(.*)", re.IGNORECASE)
ROWS = b"@data"
PASSED_OVER = re.compile(rb"^[ \t]*(?:%[^\n]*)?(?:\r?\n|\Z)", re.MULTILINE)
BESIDE_COMMAS = re.compile(rb"[ \t]*,[ \t]*")
NOTHING = re.compile(rb"(?<![^,\n])(?:\?|<null>)(?=[,\r\n]|\Z)")
"""Empty cells of ARFF and of KEEL."""
LONGEST_HEAD, LONGEST_LINE = 16 << 20, 4 << 20


def has_attributes(first: bytes) -> bool:
    """Whether a file that begins so names its columns in this manner."""
    return HEAD.match(first) is not None


def open_described(file: Input, context: Context) -> Table | None:
    """The table; None where there is none, and the fault says why."""
    names = _names(file, context)
    if names is None:
        return None
    made, before = context.temporary(), context.faults.total
    done = made.write(_written([names]))
    for block in whole_lines(file, CHUNK, LONGEST_LINE, context):
        rows = _rows(block)
        if rows.startswith(b"{"):
            what = f"{file.name} has sparse rows, {shown(rows.split(b'}')[0].decode('utf-8', 'replace') + '}')}"
            context.faults.add("unsupported_type", f"{what}; save them in full, or as libsvm", file=file.id)
            break
        done += made.write(rows)
    if context.faults.total > before:
        return None
    made.flush()
    return open_table(replace(file, stream=made, size=done), context, ",", header=True)


def _names(file: Input, context: Context) -> list[str] | None:
    """Those of the columns; the rows come next in the file."""
    names: list[str] = []
    file.stream.seek(0)
    while (raw := file.stream.readline(LONGEST_HEAD)) and file.stream.tell() <= LONGEST_HEAD:
        line = raw.decode("utf-8", "replace").strip()
        if names and raw.strip().lower() == ROWS:
            return names
        found = ATTRIBUTE.match(line)
        if found is not None and found[2].lower().startswith("relational"):
            what = f"{file.name} has series in {shown(found[1])}, a relational attribute"
            context.faults.add(
                "unsupported_type", f"{what}; save them as NPZ, [rows, steps, channels]", file=file.id, column=found[1]
            )
            return None
        if found is not None:
            names.append(re.sub(r"\\(.)", r"\1", found[1][1:-1]) if found[1][0] in "'\"" else found[1])
    context.faults.add(
        "damaged",
        f"{file.name} begins with @relation, as ARFF does; a line @attribute for every column and @data must follow",
        file=file.id,
    )
    return None


def _rows(block: bytes) -> bytes:
    """Whole lines as CSV has them."""
    block = PASSED_OVER.sub(b"", block)
    if b"'" in block:  # what ARFF puts around cells with blanks or commas
        lines = io.StringIO(block.decode("utf-8", "replace"), newline="")
        block = _written(csv.reader(lines, quotechar="'", escapechar="\\", skipinitialspace=True))
    elif b'"' not in block:
        block = BESIDE_COMMAS.sub(b",", block)
    return NOTHING.sub(b"", block)


def _written(rows: Iterable[list[str]]) -> bytes:
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\n").writerows(rows)
    return held.getvalue().encode()
