"""Recordings, as samples of one rate."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from app.ml.audio import sounds
from worker.ingest.faults import counted
from worker.ingest.kinds.base import Block, Mask, Positions, either
from worker.ingest.kinds.ragged import RaggedKind, spread
from worker.ingest.labels import in_order, no_names
from worker.ingest.splitting.splits import OUT, Places

REMEDY = ". Take it out, or ask for cleaning drop"
MOSTLY_SILENT = 0.5
"""Share of the time from which on a careful practitioner would listen first."""
ALL_SILENT = 0.9
"""Share of a class's recordings from which on it is one of silence."""


class AudioKind(RaggedKind):
    """One of silence alone is kept or left out, and the silence around others kept or cut off, as cleaning says."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._rate: int = self.part.about["rate"]
        self._listened = self._quiet = 0
        self._silent: dict[int, int] = {}
        """Numbers of the rows that stay and are silent as a whole, and the listened parts of each."""

    def judge(self, block: Block) -> Mask | None:
        rows, asked, out = self.read(block), self.cleaning, None
        if asked.silence != "keep":
            silent = np.array([self._is_silent(rows.row(row)) for row in range(len(rows))])
            out = self.treat("silent", silent, block, "nothing is louder than -60 dB", "drop")
        if asked.min_seconds:
            short, problem = rows.lengths < asked.min_seconds * self._rate, f"is shorter than {asked.min_seconds:g} s"
            out = either(out, self.treat("short_recording", short, block, problem, asked.empty, REMEDY))
        if asked.max_seconds is not None and asked.long != "cut":
            long, problem = rows.lengths > asked.max_seconds * self._rate, f"is longer than {asked.max_seconds:g} s"
            out = either(out, self.treat("long_recording", long, block, problem, asked.long, REMEDY))
        return out

    def column(self, block: Block, rows: Positions) -> pa.Array:
        found = self.read(block)
        kept = [self._cleaned(found.row(row)) for row in rows.tolist()]
        for row, samples in zip(rows.tolist(), kept, strict=True):
            self._listen(block.overall + row, samples)
        lengths = np.array([len(row) for row in kept], np.int32)
        self._lengths.append(lengths)
        offsets = np.concatenate([np.zeros(1, np.int32), np.cumsum(lengths, dtype=np.int32)])
        values = pa.array(np.concatenate([np.zeros(0, np.int16), *kept]))
        return pa.ListArray.from_arrays(pa.array(offsets), values, type=self.field().type)

    def facts(self, places: Places) -> dict[str, Any] | None:
        facts = super().facts(places) or {}
        found = [stack.heads_of(self.part.columns[0]) for table in self.tables for stack in table.stacks]
        heads = [head for each in found for head in each]
        seconds = {name: value / self._rate for name, value in spread(self.lengths()).items()}
        return {
            **{name: value for name, value in facts.items() if name != "lengths"},
            "rates": _sum([head.about["rates"] for head in heads]),
            "channels": _sum([head.about["channels"] for head in heads]),
            "seconds": seconds,
            "silence": self._quiet / max(1, self._listened),
        }

    def warnings(self, places: Places) -> list[str]:
        found, quiet, listened = [], self._quiet, self._listened
        if self._are_a_class(places):
            quiet, listened = (total - sum(self._silent.values()) for total in (quiet, listened))
        elif silent := len(self._silent):
            found.append(f"{counted(silent, 'recording')} of silence alone; cleaning.silence leaves such out")
        if quiet > MOSTLY_SILENT * listened:
            share = quiet / listened
            found.append(f"{share:.0%} of the time nothing is louder than -60 dB; cleaning.silence can trim that")
        return found

    def _are_a_class(self, places: Places) -> bool:
        """Whether the silent recordings are all of one class among others, which has hardly any that are not."""
        names = [(table, table.column("target")) for table in self.tables]
        codes = in_order([table.names.get(name or "", no_names(table.rows)) for table, name in names]).codes
        classes = np.unique(codes[list(self._silent)])
        if len(classes) != 1 or classes[0] < 0:
            return False
        there = codes[(places != OUT) & (codes >= 0)]
        own = int((there == classes[0]).sum())
        return len(there) > own and len(self._silent) >= ALL_SILENT * own

    def _is_silent(self, samples: sounds.Samples) -> bool:
        """Not so one that could not be read, which is left out already."""
        return len(samples) > 0 and not sounds.loud(samples, self._rate).any()

    def _cleaned(self, samples: sounds.Samples) -> sounds.Samples:
        if self.cleaning.silence == "trim":
            whole, samples = samples, sounds.trimmed(samples, self._rate)
            self.changed["trimmed"] = self.changed.get("trimmed", 0) + (len(samples) < len(whole))
        if self.cleaning.max_seconds is not None:  # longer ones are here only where they are to be cut
            whole, samples = samples, samples[: max(1, round(self.cleaning.max_seconds * self._rate))]
            self.changed["cut"] = self.changed.get("cut", 0) + (len(samples) < len(whole))
        return samples

    def _listen(self, row: int, samples: sounds.Samples) -> None:
        """To what stays of a row of the whole source."""
        heard = sounds.loud(samples, self._rate)
        self._listened += len(heard)
        self._quiet += int((~heard).sum())
        if not heard.any():
            self._silent[row] = len(heard)


def _sum(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {value: total[value] for value in sorted(total, key=int)}
