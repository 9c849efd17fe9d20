"""Turns numbers between spaces, as many programs print tables, into CSV, a block at a time. Knows no column."""

import re
from dataclasses import replace

from worker.ingest.readers.dialect import NOTHING, SAMPLE_ROWS, TABULAR, is_number
from worker.ingest.readers.unpack import is_bomb, refuse
from worker.ingest.source import Context, Input

CHUNK = 1 << 20
EDGES = re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE)
BETWEEN = re.compile(rb"[ \t]+")


def is_spaced(first: bytes) -> bool:
    """Whether the rows of a text that begins so have equally many numbers, several; the first may name them."""
    whole = first[: first.rfind(b"\n") + 1] or first
    lines = whole.decode("utf-8", "replace").splitlines()
    lines = [line for line in lines if line.strip()][:SAMPLE_ROWS]
    rows = [line.split() for line in lines]
    if len(rows) < 2 or len(rows[0]) < 2 or lines[-1].count("\t") >= len(rows[0]) - 1:  # tabs alone are columns as well
        return False
    level = sum(len(row) == len(rows[0]) and all(map(_is_cell, row)) for row in rows[1:])
    return level >= TABULAR * (len(rows) - 1)


def to_csv(file: Input, context: Context) -> Input | None:
    """The same rows with commas; None where that is too much, and the fault says so."""
    made, left, done = context.temporary(), b"", 0
    file.stream.seek(0)
    while chunk := file.stream.read(CHUNK):
        block, newline, left = (left + chunk).rpartition(b"\n")
        done += made.write(_with_commas(block + newline))
        if is_bomb(done + len(left), file.size, context.limit):
            refuse(file, file.name, done + len(left), context)
            return None
        context.tick(0)
    done += made.write(_with_commas(left))
    made.flush()
    return replace(file, stream=made, size=done)


def _is_cell(cell: str) -> bool:
    return is_number(cell) or cell in NOTHING


def _with_commas(block: bytes) -> bytes:
    return BETWEEN.sub(b",", EDGES.sub(b"", block))
