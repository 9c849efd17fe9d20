"""What is told those for whom there was no permit, written ahead: who refuses has no time for it. Knows no route."""

from app.api.envelope import answer
from app.api.response_bodies import head_lines
from app.ml.inference.admission import Permits

MOST_KEPT = 64

Refusal = tuple[int, bytes, bytes]
"""Status, lines of the head, and content."""


class Refusals:
    """Those of one process, by how many requests are worked on, which they tell."""

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._kept: dict[int, Refusal] = {}

    def now(self) -> Refusal:
        """The one that is true now."""
        return self._kept.get(self._permits.taken) or self._written()

    def _written(self) -> Refusal:
        written = answer(self._permits.refusal())
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        lines = head_lines(tuple(pair for pair in written.raw_headers if pair[0] != b"content-length"))
        kept = self._kept[self._permits.taken] = written.status_code, lines, bytes(written.body)
        return kept
