"""Cuts a file into lines of JSON, and makes lines of a list first; decodes one line. Knows no columns."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from app import bounded_json
from worker.ingest.readers import encoding, frames, json_lists
from worker.ingest.readers.conversations import is_conversation
from worker.ingest.source import Context, Input

LISTED = re.compile(rb"\s*\[")
OPEN = re.compile(rb'(^\s*\{\s*"[^"]*"\s*:\s*\[|[{\[,:]\s*$)')
"""How an object begins whose first value is a list; how a line ends within an object."""
NESTED = re.compile(rb'\s*\{\s*"[^"]*"\s*:\s*\{')
BLOCK_BYTES = 4 << 20
MOST_LINE = 64 << 20
"""Bytes of one line at most."""
SEEN = 1 << 16


class TooLong(Exception):
    """A line is longer than MOST_LINE."""


def blocks(file: Input) -> Iterator[tuple[list[bytes], bool]]:
    """Blocks of lines that hold something, and whether the last line may be cut short, since no line feed ends it.

    Raises TooLong.
    """
    file.stream.seek(0)
    rest = file.stream.read(len(encoding.MARK)).removeprefix(encoding.MARK)
    while chunk := file.stream.read(BLOCK_BYTES):
        whole, end, tail = chunk.rpartition(b"\n")
        if not end and len(rest) + len(tail) > MOST_LINE:
            raise TooLong
        if end:
            yield [line for line in (rest + whole).split(b"\n") if line.strip()], False
            rest = tail
        else:
            rest += tail
    if rest.strip():
        yield [rest], True


def is_listed(file: Input) -> bool:
    """Whether the file is one list of rows, one object that holds such a list or a table, or objects over several lines
    each."""
    file.stream.seek(0)
    first = file.stream.readline(MOST_LINE).removeprefix(encoding.MARK)
    while first.isspace():
        first = file.stream.readline(MOST_LINE)
    more = file.stream.read(SEEN).strip()
    if LISTED.match(first + more):
        return True
    try:
        found = decode(first)
    except ValueError:
        return bool(more) and (OPEN.search(first) is not None or _is_cut(first))  # it goes on
    if more or not isinstance(found, dict):
        return False
    return any(map(_is_rows, found.values())) or frames.outline(found).frame is not None


def unlisted(file: Input, context: Context) -> Input | None:
    """The rows of a list, or of objects that are no lines, as lines; None where they cannot be read, and the fault
    says why."""

    def chunks() -> Iterator[bytes]:
        file.stream.seek(0)
        while chunk := file.stream.read(BLOCK_BYTES):
            context.tick(0)
            yield chunk

    made, done = context.temporary(), 0
    try:
        for value in json_lists.rows(chunks, lambda said: context.inferred["rows"].append(f"{file.name}: {said}")):
            row = value if isinstance(value, dict) else {"text" if isinstance(value, str) else "values": value}
            done += made.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    except ValueError as error:
        context.faults.add("not_json", f"{file.name} is no list of rows in JSON: {error}", file=file.id)
        return None
    made.flush()
    return replace(file, stream=made, size=done)


def _is_cut(line: bytes) -> bool:
    """Whether it ends for its length, within an object whose first value is one itself."""
    return len(line) == MOST_LINE and NESTED.match(line) is not None


def _is_rows(value: Any) -> bool:
    """Whether it is a list of objects, several, and no conversation."""
    several = isinstance(value, list) and len(value) > 1 and all(isinstance(row, dict) for row in value)
    return several and not is_conversation(value)


def decode(line: bytes) -> Any:
    """Raises ValueError where it is no JSON, or nested deeper than is read."""
    try:
        return bounded_json.loads(line)
    except orjson.JSONDecodeError as error:
        if error.msg == bounded_json.TOO_DEEP:
            raise ValueError(error.msg) from None
    try:
        value = json.loads(line.decode())  # knows NaN and Infinity, as Python writes them
    except RecursionError:
        raise ValueError(bounded_json.TOO_DEEP) from None
    if bounded_json.is_deep(line, value):
        raise ValueError(bounded_json.TOO_DEEP)
    return value


def refuse_line(file: Input, row: int, context: Context) -> None:
    message = f"{file.name}, row {row:,} is longer than {MOST_LINE:,} bytes; is every object on a line of its own?"
    context.faults.add("line_too_long", message, file=file.id, row=row)
