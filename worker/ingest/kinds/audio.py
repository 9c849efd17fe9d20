"""Recordings, as samples of one rate."""

from typing import Any

from worker.ingest.kinds.base import Block, Mask
from worker.ingest.kinds.ragged import RaggedKind, spread
from worker.ingest.splits import Places


class AudioKind(RaggedKind):
    """A recording without samples is a fault."""

    def judge(self, block: Block) -> Mask | None:
        empty = self.read(block).lengths == 0
        return self.refuse_rows("no_samples", empty, block, "the recording has no samples") if empty.any() else None

    def facts(self, places: Places) -> dict[str, Any] | None:
        facts = super().facts(places) or {}
        seconds = {name: value / facts["rate"] for name, value in spread(self.lengths()).items()}
        return {**{name: value for name, value in facts.items() if name != "lengths"}, "seconds": seconds}
