"""Reads series in lines (`.ts`), as sktime and aeon keep them: numbers between commas, channels between colons, and
behind the last colon what a series is, a class or a number.

Legend: `N` rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from worker.ingest.readers.arrays import Arrays, Placed
from worker.ingest.readers.blocks import whole_lines
from worker.ingest.readers.unpack import CHUNK
from worker.ingest.source import Context, Head, Input

BEGINS = re.compile(rb"(\xef\xbb\xbf)?(?:[ \t]*(?:[#%][^\n]*)?\r?\n)*[ \t]*@problemname\b", re.IGNORECASE)
SAID = re.compile(r"@(\w+)\s*(.*)")
SERIES, LABEL, TARGET = "series", "label", "target"
TOLD = {"classlabel": LABEL, "targetlabel": TARGET}
"""What a file says it has behind the last colon: the column that this becomes."""
VALUE, NUMBER = np.dtype(np.float32), np.dtype(np.float64)
GAPS = re.compile(rb"(?<![^,\n])(?:\?|)(?=[,\n])")
"""A number that is not known."""
LONGEST_HEAD, LONGEST_LINE = 16 << 20, 64 << 20


def holds_series(first: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return BEGINS.match(first) is not None


def open_series(file: Input, context: Context) -> "Measured":
    """Parses all rows; where one is none, or of another length than the first, the fault says so."""
    said = _head(file)
    if said is None or said.get("timestamps", "").lower() == "true":
        timed = "gives its numbers times; save them as NPZ, [rows, steps, channels], at even steps"
        problem = "has no line @data before its rows" if said is None else timed
        context.faults.add("unsupported_type", f"{file.name} {problem}", file=file.id)
        return Measured(file, [])
    told = next((column for key, column in TOLD.items() if said.get(key, "").lower().startswith("true")), "")
    parsing = _Parsing(file, context, told)
    for block in whole_lines(file, CHUNK, LONGEST_LINE, context):
        if context.faults.total:
            break
        parsing.add(block)
    return Measured(file, [] if context.faults.total else parsing.placed())


class Measured(Arrays):
    """The series of one file, [N, steps, channels], and their labels [N]."""

    @property
    def heads(self) -> Sequence[Head]:
        rows = self.arrays[0].shape[0] if self.arrays else 0
        known: dict[str, dict[str, Any]] = {
            SERIES: {"is_series": True},
            TARGET: {"fractions": True, "distinct": rows, "sampled": rows},
        }
        return [replace(head, **known.get(head.name, {})) for head in super().heads]


def _head(file: Input) -> dict[str, str] | None:
    """What a file says of itself, by keys in lower case; the rows come next. None where there are none."""
    found: dict[str, str] = {}
    file.stream.seek(0)
    while (raw := file.stream.readline(LONGEST_HEAD)) and file.stream.tell() <= LONGEST_HEAD:
        said = SAID.match(raw.decode("utf-8", "replace").strip())
        if said is not None and said[1].lower() == "data":
            return found
        if said is not None:
            found[said[1].lower()] = said[2].strip()
    return None


@dataclass
class _Parsing:
    file: Input
    context: Context
    told: str
    """The column of what a series is; empty where that is not said."""
    rows: int = 0
    shape: tuple[int, int] = (0, 0)
    """Channels and steps, by the first row."""
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._made = self.context.temporary()

    def add(self, text: bytes) -> None:
        """Parses whole lines."""
        lines = [line for line in text.replace(b" ", b"").replace(b"\r", b"").split(b"\n") if line]
        rows: list[bytes] = []
        for line in lines:
            channels = line.split(b":")
            label = channels.pop() if self.told else b""
            shape = len(channels), channels[0].count(b",") + 1 if channels else 0
            self.shape = shape if self.shape == (0, 0) else self.shape
            if shape != self.shape or any(each.count(b",") + 1 != shape[1] for each in channels):
                self._refuse(channels)
                return
            rows += channels
            self.labels.append(label.decode("utf-8", "replace"))
        if rows:
            self._write(rows)
        self.rows += len(lines)

    def placed(self) -> list[Placed]:
        """The arrays, in temporary files."""
        self._made.flush()
        channels, steps = self.shape
        found = [Placed(SERIES, self._made, 0, VALUE, (self.rows, steps, channels))]
        if not self.told:
            return found
        labels = np.array(self.labels or [""])
        if self.told == TARGET:
            labels = self._numbers([label.replace("?", "") or "nan" for label in self.labels], TARGET)
        held = self.context.temporary()
        held.write(np.ascontiguousarray(labels).data)
        held.flush()
        return [*found, Placed(self.told, held, 0, labels.dtype, (self.rows,))]

    def _write(self, rows: Sequence[bytes]) -> None:
        words = GAPS.sub(b"nan", b"\n".join(rows) + b"\n")[:-1].replace(b"\n", b",")
        split = pc.split_pattern(pa.scalar(words.decode("utf-8", "replace"), pa.large_string()), ",").values
        channels, steps = self.shape
        block = self._numbers(split, SERIES).astype(VALUE).reshape(-1, channels, steps).transpose(0, 2, 1)
        self._made.write(np.ascontiguousarray(block).data)

    def _numbers(self, words: Any, column: str) -> NDArray[np.float64]:
        """All as numbers; zeros where one is none, and the fault says so."""
        try:
            return np.asarray(pc.cast(pa.array(words, pa.large_string()), pa.float64()), NUMBER)
        except pa.ArrowInvalid as error:
            message = f"{self.file.name}, behind row {self.rows:,}: {error}; numbers are right, and ? for none"
            self.context.faults.add("not_a_number", message, file=self.file.id, column=column)
            return np.zeros(len(words))

    def _refuse(self, channels: Sequence[bytes]) -> None:
        row = len(self.labels) + 1
        steps = sorted({each.count(b",") + 1 for each in channels})
        has = f"{len(channels):,} channels of {' or '.join(f'{each:,}' for each in steps)} steps"
        message = (
            f"{self.file.name}, row {row:,}: {has}, and row 1 has {self.shape[0]:,} of {self.shape[1]:,}; "
            "cut or pad all series of a dataset to one length"
        )
        self.context.faults.add("ragged_row", message, file=self.file.id, row=row)
