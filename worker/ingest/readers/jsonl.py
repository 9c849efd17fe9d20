"""Reads JSON lines, a block of lines at a time: one object per line, its keys the columns. A list becomes lines first.

An absent key and a null are an empty cell. Lists of numbers, also nested, are arrays.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from app import bounded_json
from worker.ingest.faults import shown, some
from worker.ingest.readers import conversations, encoding, json_lines
from worker.ingest.readers.frames import RECORDS
from worker.ingest.readers.heads import json_head
from worker.ingest.readers.staging import Staging
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import BETWEEN

START = re.compile(rb'\s*(\{|\[\s*[\[{"])')
SAMPLE_ROWS = 1000
Row = dict[str, Any]


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
            for lines, last in json_lines.blocks(self.file):
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
        except json_lines.TooLong:
            json_lines.refuse_line(self.file, seen + 1, context)
        return staging.loaded()

    def _parse(self, line: bytes, number: int, last: bool, context: Context) -> Row | None:
        try:
            row = json_lines.decode(line)
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
        try:
            return conversations.as_pair(row)
        except ValueError as error:
            self._fault("no_answer", f": {error}", number, context)
            return None

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
    if json_lines.is_listed(file):
        rewritten = json_lines.unlisted(file, context)
        if rewritten is None:
            return Lines(file, [])
        file = rewritten
    values: dict[str, list[Any]] = {}
    try:
        first = next(json_lines.blocks(file), ([], True))[0]
    except json_lines.TooLong:
        json_lines.refuse_line(file, 1, context)
        return Lines(file, [])
    for row in _sample(first):
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    if len(first) == 1 and values and _is_columns([seen[0] for seen in values.values()]):
        context.faults.add("not_rows", f"{file.name} {_told(values)}; pandas writes rows with {RECORDS}", file=file.id)
        return Lines(file, [])
    if not values and first:  # nothing to plan with: say at once what is wrong
        lines = Lines(file, [])
        for number, line in enumerate(first[:SAMPLE_ROWS], 1):
            lines._parse(line, number, number == len(first), context)
    return Lines(file, [json_head(name, seen) for name, seen in values.items()])


def _told(values: Mapping[str, Sequence[Any]]) -> str:
    """What an object of columns is."""
    inner = [name for (held, *_) in values.values() if isinstance(held, dict) for name in held]
    if not inner:
        return f"is one object of columns, {some(list(values))}; give one object per row, in lines or in a list"
    within = some(list(dict.fromkeys(inner)))
    return (
        f"is one object of objects, {some(list(values))}, with the keys {within}: which of both are the rows cannot be "
        "told, since not one of them alone counts; give one object per row, in lines or in a list"
    )


def _is_columns(values: Sequence[Any]) -> bool:
    """Whether an object holds columns, as objects or as lists of one length, rather than a row."""
    lists = [value for value in values if isinstance(value, list)]
    alike = len(values) > 1 and len(lists) == len(values) and len({len(each) for each in lists}) == 1
    return alike or all(isinstance(value, dict) for value in values)


def _sample(lines: Sequence[bytes]) -> list[Row]:
    """The first rows that can be read."""
    rows: list[Row] = []
    for line in lines[:SAMPLE_ROWS]:
        with suppress(ValueError):
            row = json_lines.decode(line)
            if isinstance(row, dict):
                rows.append(conversations.as_pair(row))
    return rows


def _real(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float(np.copysign(np.inf, 1 if value > 0 else -1))
