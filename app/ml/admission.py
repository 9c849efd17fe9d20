"""Who is let in, and what has been done: permits and counters of one process."""

import threading

from app.errors import Overloaded


class Permits:
    """How many requests of this process may wait at once. For the event loop's thread only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.refused = 0

    def __enter__(self) -> None:
        """Takes one permit. Raises Overloaded when there is none."""
        self.check()
        self.taken += 1

    def check(self) -> None:
        """Raises Overloaded when there is no permit."""
        if self.taken >= self.limit:
            self.refused += 1
            raise Overloaded(f"{self.taken} requests are waiting and at most {self.limit} may; try again in a second")

    def __exit__(self, *raised: object) -> None:
        self.taken -= 1


class Counters:
    """Sums over all requests and batches of this process; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[str, float] = {}

    def add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] = self._sums.get(name, 0.0) + amount

    def read(self) -> dict[str, float]:
        with self._lock:
            return dict(self._sums)
