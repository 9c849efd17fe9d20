"""Finds out how a delimited text is written: what precedes it, delimiter, header, decimal sign, by the first rows.

Knows no Arrow.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = "\t;|,"
"""The first of these by which the rows have equally many cells, several: decimal commas are no delimiters."""
TABULAR = 0.9
"""Share of the first rows that have as many cells as the first one, in a table."""
SAMPLE_ROWS = 1000
NOTHING = ("", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "NULL", "Null", "null", "None", "none", "?", "-", "#N/A")
"""Cells that hold no number, in a column of numbers."""
ABSENT = frozenset(cell.casefold() for cell in NOTHING)
SEPARATOR = re.compile(r"sep=(.)\r?\n")
"""What Excel takes for the delimiter and writes no header over."""
POINT, COMMA = ".", ","
FRACTIONS = {sign: re.compile(rf"[-+]?\d+{re.escape(sign)}(\d{{1,2}}|\d{{4,}})") for sign in (POINT, COMMA)}
"""Numbers with this decimal sign that cannot be whole ones with a sign between thousands."""
GROUPED = re.compile(r"\s*[-+]?[1-9]\d{0,2}(\.\d{3})\s*")
"""A number with three places behind its point, as a whole one with a point between thousands has."""
MONEY = "$€£¥"
BLANK = ("\n", "\r\n")
NARROWEST_TITLED = 3
"""Columns of a table with titles over it: of two, the first may be an index without a name."""


@dataclass(frozen=True)
class Written:
    """How the numbers of a column are written where they are no plain ones: `1.234,50 €`, `12 %`."""

    decimal: str

    @property
    def between(self) -> str:
        """What may stand between thousands."""
        return f"{COMMA if self.decimal == POINT else POINT} '\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"

    @property
    def pattern(self) -> str:
        """Of a whole cell, as RE2 and Python read it."""
        sign, between = re.escape(self.decimal), self.between.replace(POINT, r"\.")
        digits = rf"([1-9]\d{{0,2}}([{between}]\d{{3}})+|\d+)"
        number = rf"({digits}({sign}\d*)?|{sign}\d+)([eE][-+]?\d+)?"
        return rf"^\s*[{MONEY}]?\s*[-+]?\s*[{MONEY}]?\s*{number}\s*[%{MONEY}]?\s*$"

    @property
    def clutter(self) -> str:
        """Characters that are no part of the number."""
        return rf"[\s%{MONEY}{self.between.replace(POINT, chr(92) + POINT)}]"


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    delimiter: str
    before: int
    """Lines in front of the header or the first row."""
    header: bool
    decimal: str
    certain: bool
    """Whether that is a comma beyond doubt, so that a point stands between thousands."""
    rows: Sequence[Sequence[str]]
    """The first ones, the header among them."""
    titles: Sequence[str] = ()
    """What stands in the lines of titles in front of the header."""
    repeated: bool = False
    """Whether there were lines among them that repeat the header."""

    @property
    def skipped(self) -> int:
        """Lines in front of the first row."""
        return self.before + self.header

    def doubt(self, cells: Sequence[str]) -> str:
        """What may be wrong with numbers that are read as they stand: `1.999` where a comma is as likely the decimal
        sign; empty where nothing is."""
        if self.decimal != COMMA or self.certain or not cells or not all(map(GROUPED.fullmatch, cells)):
            return ""
        read = f"numbers like {cells[0]!r}, read with '.' before fractions"
        return f"{read}; where it stands between thousands, give decimal ','"

    def written(self, cells: Sequence[str], numbers: int) -> Written | None:
        """How the numbers of a column are written, by its first cells, so many of which are numbers as they are; None
        where they are plain, or no numbers."""
        if numbers == len(cells) and not (self.certain and any(POINT in cell for cell in cells)):
            return None
        style = Written(self.decimal)
        matching = re.compile(style.pattern)
        return style if sum(bool(matching.match(cell)) for cell in cells) >= TABULAR * len(cells) else None


def find_dialect(text: str, delimiters: str, decimal: str | None, header: bool | None) -> Dialect:
    """By the beginning of a text; what is given is not looked for."""
    said = SEPARATOR.match(text)
    before = 0
    if said:
        text, before = text[said.end() :], 1
    delimiter = said[1] if said else None
    rest, comments = text, 0
    while rest.startswith(("#", *BLANK)) and "\n" in rest:
        rest, comments = rest.split("\n", 1)[1], comments + 1
    delimiter = delimiter or _delimiter(rest, delimiters)
    if comments:
        last = text.split("\n")[comments - 1]
        is_header = last.count(delimiter) == rest.split("\n", 1)[0].count(delimiter) > 0
        comments -= is_header
        text = "\n".join(text.split("\n")[comments:])
        text = text[1:].lstrip(" ") if is_header else text
    rows = first_rows(text, delimiter)
    over = 0 if header is False else _titles(rows)
    titles, rows = [cell.strip() for row in rows[:over] for cell in row if cell.strip()], rows[over:]
    before += comments + (_lines(text, delimiter, over) if over else 0)
    there, rows = len(rows), rows if header is False else _without_headers(rows)
    header = (not rows or _has_header(rows)) if header is None else header
    found, certain = (decimal, decimal == COMMA) if decimal else _decimal(rows[header:], delimiter)
    return Dialect(delimiter, before, header, found, certain, rows, titles, len(rows) < there)


def first_rows(text: str, delimiter: str) -> list[list[str]]:
    rows = []
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) > SAMPLE_ROWS:
            break
    return rows


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _holds_numbers(column: Sequence[str]) -> bool:
    filled = list(filter(_is_filled, column))
    return 2 * sum(map(is_number, filled)) >= len(filled)


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether all are finite ones."""
    try:
        return all(map(math.isfinite, map(float, cells))) and not any("_" in cell for cell in cells)
    except ValueError:
        return False


def is_regular(rows: Sequence[Sequence[str]]) -> bool:
    """Whether nearly all rows have as many cells as the first, and it has several."""
    sizes = [len(row) for row in rows]
    return bool(sizes) and sizes[0] > 1 and sizes.count(sizes[0]) >= TABULAR * len(sizes)


def _delimiter(text: str, delimiters: str) -> str:
    first = text.split("\n", 1)[0]
    there = [each for each in DELIMITERS if each in delimiters and each in first]
    for delimiter in there if len(there) > 1 else ():
        if is_regular(first_rows(text, delimiter)):
            return delimiter
    return max(delimiters, key=first.count)


def _titles(rows: Sequence[Sequence[str]]) -> int:
    """How many rows are titles over the table, as spreadsheets save them: as wide as it, with one cell filled or none.

    Only where no name is missing below them, so that the row that follows is a header without doubt.
    """
    over = next((number for number, row in enumerate(rows) if sum(map(_is_filled, row)) > 1), 0)
    table, width = rows[over:], len(rows[0]) if rows else 0
    if not over or width < NARROWEST_TITLED or any(len(row) != width for row in rows[: over + 1]):
        return 0
    return over if not _lacks_names(table) and _has_header(table) else 0


def _without_headers(rows: list[list[str]]) -> list[list[str]]:
    """The rows without those that are equal to the first one, where that is a header without doubt: none of its cells
    comes again elsewhere, and it names columns of numbers, or names as programs do."""
    first, rest = rows[0] if rows else [], [row for row in rows[1:] if row != rows[0]]
    if len(first) < 2 or not 0 < len(rest) < len(rows) - 1 or any(map(is_number, first)):
        return rows
    columns = [[row[place] for row in rest if len(row) > place] for place in range(len(first))]
    numbers = any(_holds_numbers(column) for column in columns if any(map(_is_filled, column)))
    named = numbers or all(cell.strip().isidentifier() for cell in first)
    again = any(_is_filled(cell) and cell in column for cell, column in zip(first, columns, strict=True))
    return [first, *rest] if named and not again else rows


def _lacks_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names not every column that holds something."""
    nameless = [place for place, name in enumerate(rows[0]) if not name.strip()]
    return any(_is_filled(row[place]) for row in rows[1:] for place in nameless if len(row) > place)


def _is_filled(cell: str) -> bool:
    return bool(cell.strip())


def _lines(text: str, delimiter: str, rows: int) -> int:
    """Lines in front of the row behind the first `rows`; blank ones are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    seen = lines = 0
    for row in reader:
        seen += bool(row)
        if seen > rows:
            break
        lines = reader.line_num
    return lines


def _has_header(rows: Sequence[Sequence[str]]) -> bool:
    """The first row is none where it holds a number in a column of numbers, or a name that comes again below it; not so
    where it names a column of nothing but numbers. A header of numbers counts up: positions, or years."""
    first, body = rows[0], rows[1:]
    whole = [int(cell) for cell in first if re.fullmatch(r"\s*\d{1,9}\s*", cell)]
    counts_up = len(whole) > 1 and whole == list(range(whole[0], whole[0] + len(whole)))
    if counts_up or all(map(is_number, first)):
        return counts_up and (whole[0] <= 1 or not all(map(is_number, first)))
    certain = comes_again = False
    for place, cell in enumerate(first):
        column = [row[place] for row in body if len(row) > place]
        if not any(map(str.strip, column)):
            continue
        if not cell.strip():
            break  # the index of a table has no name
        if (numbers := _holds_numbers(column)) and is_number(cell):
            return False
        known = [each for each in column if each.strip().casefold() not in ABSENT]
        named = not is_number(cell) and cell.strip().casefold() not in ABSENT
        certain |= named and bool(known) and all(map(is_number, known))
        comes_again |= not numbers and cell in column
    return certain or not comes_again


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> tuple[str, bool]:
    """The decimal sign, and whether it is a comma beyond doubt."""
    if delimiter == COMMA:
        return POINT, False
    cells = [cell.strip() for row in rows for cell in row]
    points, commas = (sum(bool(FRACTIONS[sign].fullmatch(cell)) for cell in cells) for sign in (POINT, COMMA))
    return COMMA if commas > points or (commas == points and delimiter == ";") else POINT, commas > points
