"""Connections that have been refused and are not looked at for a while. Knows no socket.

Who asks again at once would take the time of those who are answered. One clock serves them all, and they are read from
meanwhile: a clock for each, and to stop reading and begin again, cost more than the refusal.
"""

import asyncio
from collections import deque
from typing import Protocol

REST_SECONDS = 0.035
"""From a refusal until what came behind it is looked at."""
GRAIN_SECONDS = 0.005
"""Connections whose rest ends within so long are looked at together."""


class Refused(Protocol):
    """A connection that rests."""

    def rested(self) -> None:
        """Looks at what came meanwhile."""


class Resting:
    """The connections of one event loop that rest, those whose rest ends first in front."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, Refused]] = deque()
        self._runs = False

    def add(self, connection: Refused) -> None:
        loop = asyncio.get_running_loop()
        self._ends.append((loop.time() + REST_SECONDS, connection))
        if not self._runs:
            self._runs = True
            loop.call_later(REST_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._ends and self._ends[0][0] <= now:
            self._ends.popleft()[1].rested()
        self._runs = bool(self._ends)
        if self._runs:
            loop.call_at(max(self._ends[0][0], now + GRAIN_SECONDS), self._look, loop)
