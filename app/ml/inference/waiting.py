"""What waits for one model, and how a batch is cut from it. Knows no thread and no model: for who holds its lock."""

import asyncio
from collections import deque
from collections.abc import Iterator

from app.ml.inference.work import Work

Batch = list[tuple[Work, int]]
"""Works and how many rows of each."""


class Waiting:
    """Requests in lanes, one for each ability: what is asked for differently cannot be computed together.

    A batch is cut by cost, in elements: numbers per row times rows, of texts real tokens. Every waiting request gets an
    equal share of it, and a request that is larger than its share is worked off over several batches, so that no small
    one waits behind it.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Work]] = {}
        """None is empty."""

    def __iter__(self) -> Iterator[Work]:
        return (work for lane in self._lanes.values() for work in lane)

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __bool__(self) -> bool:
        return bool(self._lanes)

    @property
    def costs(self) -> list[int]:
        """What is left of each, in elements."""
        return [(work.rows - work.done) * work.row_cost for work in self]

    @property
    def loops(self) -> set[asyncio.AbstractEventLoop]:
        """Those whose callers wait."""
        return {work.future.get_loop() for work in self}

    def add(self, work: Work) -> None:
        """At the end of its lane."""
        self._lanes.setdefault(work.ability, deque()).append(work)

    def remove(self, work: Work) -> None:
        """Wherever it waits, if it does."""
        lane = self._lanes.get(work.ability)
        if lane is not None and work in lane:
            lane.remove(work)
            if not lane:
                del self._lanes[work.ability]

    def take(self, budget: int) -> Batch:
        """The next batch, of one ability and that cost, or of one row; empty when nothing waits."""
        while self._lanes:
            ability, lane = next(iter(self._lanes.items()))
            del self._lanes[ability]
            lane = deque(work for work in lane if not work.future.done())  # their callers have gone
            batch = _cut(lane, budget)
            for work, rows in batch:  # what is left of them goes behind those that got nothing
                lane.popleft()
                if work.done + rows < work.rows:
                    lane.append(work)
            if lane:
                self._lanes[ability] = lane  # at the end: abilities take turns
            if batch:
                return batch
        return []


def _cut(lane: "deque[Work]", budget: int) -> Batch:
    """From the front of the lane: an equal share of the budget for each, then what others left over."""
    if not lane:
        return []
    share = budget // len(lane)
    batch: Batch = []
    for work in lane:
        if batch and budget < work.row_cost:
            break
        rows = max(1, min(work.rows - work.done, share // work.row_cost))
        batch.append((work, rows))
        budget -= rows * work.row_cost
    for place, (work, rows) in enumerate(batch):
        more = min(work.rows - work.done - rows, max(0, budget) // work.row_cost)
        batch[place] = (work, rows + more)
        budget -= more * work.row_cost
    return batch
