"""Reads JSON lines, a block of lines at a time: one object per line, its keys the columns. A list becomes lines first.

An absent key and a null are an empty cell. Lists of numbers, also nested, are arrays.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from app import bounded_json
from worker.ingest import encoding, json_lists
from worker.ingest.faults import shown, some
from worker.ingest.heads import json_head
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BETWEEN
from worker.ingest.staging import Staging

START = re.compile(rb'\s*(\{|\[\s*[\[{"])')
LISTED = re.compile(rb'\s*(\{\s*"[^"]*"\s*:\s*)?\[')
"""How a list of all rows begins, or an object that holds one."""
SAMPLE_ROWS = 1000
BLOCK_BYTES = 4 << 20
MOST_LINE = 64 << 20
"""Bytes of one line at most."""
SEEN = 1 << 16
Row = dict[str, Any]


class _TooLong(Exception):
    pass


@dataclass(frozen=True)
class Lines:
    """A file of JSON lines."""

    file: Input
    heads: Sequence[Head]

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        staging = Staging(self.file, self.heads, wanted, context)
        if context.faults.total:
            return staging.loaded()
        known = {head.name: head for head in self.heads}
        seen = 0
        try:
            for lines, last in _blocks(self.file):
                rows: list[Row] = []
                for number, line in enumerate(lines, seen + 1):
                    row = self._parse(line, number, last and number == seen + len(lines), context)
                    if row is None:
                        if context.faults.drops or not context.faults.full:  # later ones are not worded any more
                            staging.skipped.append(number)
                        continue
                    if not known.keys() >= row.keys():
                        self._unexpected(row, number, known, context)
                    rows.append(row)
                seen += len(lines)
                if not staging.allows(staging.rows + len(rows)):
                    break
                columns = {name: self._numbers(known[name], rows, staging) for part in wanted.numbers for name in part}
                columns |= {name: self._texts(known[name], rows, staging) for name in [*wanted.names, *wanted.ragged]}
                staging.add(columns, len(rows))
                if wanted.first and staging.rows:
                    break
        except _TooLong:
            _refuse_line(self.file, seen + 1, context)
        return staging.loaded()

    def _parse(self, line: bytes, number: int, last: bool, context: Context) -> Row | None:
        try:
            row = _decode(line)
        except UnicodeDecodeError:
            encoding.refuse(self.file, line, context.faults, row=number)
            return None
        except ValueError as error:
            code = "truncated" if last else "not_json"
            problem = str(error)
            if isinstance(error, json.JSONDecodeError):  # whose own text tells a line, which is no line of the file
                problem = f"{error.msg} {bounded_json.place(error)}"
            start = shown(line[:80].decode("utf-8", "replace"))
            self._fault(code, f"is no JSON object: {problem}: {start}", number, context)
            return None
        if not isinstance(row, dict):
            self._fault("not_json", f"is {shown(row)}, not an object", number, context)
            return None
        return row

    def _unexpected(self, row: Row, number: int, known: dict[str, Head], context: Context) -> None:
        for name in row.keys() - known.keys():
            problem = f"has the key {name!r}, which none of the first {SAMPLE_ROWS:,} rows has; let one of them have it"
            self._fault("ragged_row", problem, number, context, name)

    def _numbers(self, head: Head, rows: list[Row], staging: Staging) -> pa.Array:
        kind = pa.float64()
        for _ in head.shape:
            kind = pa.list_(kind)
        values = [row.get(head.name) for row in rows]
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
        for position, value in enumerate(values):
            try:
                pa.array([value], kind)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                values[position] = None
                if not head.shape and isinstance(value, int):
                    values[position] = _real(value)  # beyond what Arrow takes for exact
                    continue
                what = f"a list of {list(head.shape)} numbers" if head.shape else "a number"
                problem = f": {shown(value)} is not {what}"
                staging.fault("not_a_number", problem, staging.rows + position, head.name)
        return pa.array(values, kind)

    def _texts(self, head: Head, rows: list[Row], staging: Staging) -> pa.Array:
        name, values = head.name, [row.get(head.name) for row in rows]
        for position, value in enumerate(values):
            if isinstance(value, list) and head.ragged == "tags" and all(isinstance(text, str) for text in value):
                values[position] = BETWEEN.join(value)
            elif isinstance(value, list | dict):
                problem = f": {shown(value)} is no name; give a text or a number"
                staging.fault("unsupported_type", problem, staging.rows + position, name)
                values[position] = None
            elif value is not None and not isinstance(value, str):
                values[position] = str(value)
        return pa.array(values, pa.string())

    def _fault(self, code: str, problem: str, row: int, context: Context, column: str | None = None) -> None:
        message = f"{self.file.name}, row {row:,} {problem}"
        context.faults.row(code, message, file=self.file.id, row=row, column=column)


def open_lines(file: Input, context: Context) -> Lines:
    """Looks at the first rows: which keys there are, and what they hold. Faults in them are left to the reading."""
    if _is_listed(file):
        unlisted = _unlisted(file, context)
        if unlisted is None:
            return Lines(file, [])
        file = unlisted
    values: dict[str, list[Any]] = {}
    try:
        first = next(_blocks(file), ([], True))[0]
    except _TooLong:
        _refuse_line(file, 1, context)
        return Lines(file, [])
    for line in islice(first, SAMPLE_ROWS):
        try:
            row = _decode(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            for name, value in row.items():
                values.setdefault(name, []).append(value)
    if len(first) == 1 and values and all(isinstance(seen[0], dict) for seen in values.values()):
        context.faults.add(
            "not_rows",
            f"{file.name} is one object of columns, {some(list(values))}; give one object per row, in lines or in a "
            'list: pandas writes them with to_json(…, orient="records")',
            file=file.id,
        )
        return Lines(file, [])
    if not values and first:  # nothing to plan with: say at once what is wrong
        lines = Lines(file, [])
        for number, line in enumerate(first[:SAMPLE_ROWS], 1):
            lines._parse(line, number, number == len(first), context)
    return Lines(file, [json_head(name, seen) for name, seen in values.items()])


def _blocks(file: Input) -> Iterator[tuple[list[bytes], bool]]:
    """Lines that hold something, and whether the last of them may be cut short: nothing ends it."""
    file.stream.seek(0)
    rest = file.stream.read(len(encoding.MARK)).removeprefix(encoding.MARK)
    while chunk := file.stream.read(BLOCK_BYTES):
        whole, end, tail = chunk.rpartition(b"\n")
        if not end and len(rest) + len(tail) > MOST_LINE:
            raise _TooLong
        if end:
            yield [line for line in (rest + whole).split(b"\n") if line.strip()], False
            rest = tail
        else:
            rest += tail
    if rest.strip():
        yield [rest], True


def _is_listed(file: Input) -> bool:
    """Whether the file is one list of rows, or one object that begins with such a list; lines may begin like it."""
    file.stream.seek(0)
    first = file.stream.readline(MOST_LINE).removeprefix(encoding.MARK)
    more = file.stream.read(SEEN).strip()
    if not (begins := LISTED.match(first + more)):
        return False
    if begins[1] is None:
        return True
    try:
        found = _decode(first)
    except ValueError:
        return bool(more)  # it goes on in the next line
    value = next(iter(found.values()))
    return not more and len(value) > 1 and all(isinstance(row, dict) for row in value)


def _unlisted(file: Input, context: Context) -> Input | None:
    """The elements of a list as lines; None where it cannot be read, and the fault says why."""

    def chunks() -> Iterator[bytes]:
        file.stream.seek(0)
        while chunk := file.stream.read(BLOCK_BYTES):
            context.tick(0)
            yield chunk

    made, done = context.temporary(), 0
    try:
        for value in json_lists.members(chunks()):
            row = value if isinstance(value, dict) else {"text" if isinstance(value, str) else "values": value}
            done += made.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    except ValueError as error:
        context.faults.add("not_json", f"{file.name} is no list of rows in JSON: {error}", file=file.id)
        return None
    made.flush()
    return replace(file, stream=made, size=done)


def _decode(line: bytes) -> Any:
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


def _real(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float(np.copysign(np.inf, 1 if value > 0 else -1))


def _refuse_line(file: Input, row: int, context: Context) -> None:
    message = f"{file.name}, row {row:,} is longer than {MOST_LINE:,} bytes; is every object on a line of its own?"
    context.faults.add("line_too_long", message, file=file.id, row=row)
