"""Queue, batch cut, and the one thread that owns a model. Knows no HTTP and nothing of what a network means.

No waiting window: the owner takes what has piled up, so an idle model answers at once and a busy one fills its batches.
A batch is cut by cost, in elements (numbers per row times rows). Every waiting request gets an equal share of it, and a
request that is larger than its share is worked off over several batches, so that no small one waits behind it.
Rows of different lengths are worked off in the order of their lengths, so that few of them are padded.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import InferenceFailed
from app.ml.admission import Counters
from app.ml.modalities.base import Tensors
from app.ml.padding import joined, joined_answers, shortened

log = logging.getLogger(__name__)

SMALLEST_BUDGET = 1024
FIRST_BUDGET = 32 * 1024
LARGEST_BUDGET = 1024 * 1024
TARGET_SECONDS = 0.02
"""What a batch may take, and so about how long a newcomer waits: the budget is halved above and doubled well below."""

Run = Callable[[str, Tensors], Tensor]
"""Ability and inputs [B, …] to answers [B, …]."""


@dataclass(eq=False)
class Work:
    """A request's rows in the queue, and their answers as far as they are known."""

    ability: str
    inputs: Tensors
    future: "asyncio.Future[Work]"
    rows: int
    row_cost: int
    queued_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0
    finished_at: float = 0.0
    done: int = 0
    parts: list[Tensor] = field(default_factory=list)
    order: Tensor | None = None
    """Which row of the request the answers belong to, one after the other; None where they are in its order."""

    def __post_init__(self) -> None:
        if self.rows > 1 and "mask" in self.inputs:
            self.order = self.inputs["mask"].sum(1).argsort()
            self.inputs = {name: tensor[self.order] for name, tensor in self.inputs.items()}

    @property
    def outputs(self) -> NDArray[np.float32]:
        """All answers, [rows, …]."""
        answers = joined_answers(self.parts)
        if self.order is None:
            return answers.numpy()
        return torch.empty_like(answers).index_copy_(0, self.order, answers).numpy()

    def take(self, rows: int) -> Tensors:
        """The next rows that have no answer."""
        return shortened({name: tensor[self.done : self.done + rows] for name, tensor in self.inputs.items()})


class Batcher:
    """The queue of one model. Its thread starts with the first request; after `close` it ends once nothing waits."""

    def __init__(self, run: Run, *, name: str, threads: int, counters: Counters) -> None:
        """`threads` is the number of torch threads that the owner computes with."""
        self._run, self._name, self._threads, self._counters = run, name, threads, counters
        self._lanes: dict[str, deque[Work]] = {}
        self._changed = threading.Condition()
        self._owner: threading.Thread | None = None
        self._idle = False
        self._closed = False
        self._budget = FIRST_BUDGET

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        with self._changed:
            return sum(len(lane) for lane in self._lanes.values())

    async def submit(self, ability: str, inputs: Tensors) -> Work:
        """The answered work of `inputs` [B, …]. Raises InferenceFailed when the network could not answer."""
        values = inputs["values"]
        loop = asyncio.get_running_loop()
        work = Work(ability, inputs, loop.create_future(), len(values), max(1, values[0].numel()))
        with self._changed:
            self._lanes.setdefault(ability, deque()).append(work)
        loop.call_soon(self._wake_owner)  # behind all requests that are ready now: they go in one batch
        return await work.future

    def close(self) -> None:
        """Lets the thread answer what waits and end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, timeout: float | None = None) -> None:
        """Waits for a closed batcher's thread."""
        owner = self._owner
        if owner is not None:
            owner.join(timeout)

    def _wake_owner(self) -> None:
        with self._changed:
            if self._owner is None:
                self._owner = threading.Thread(target=self._own, name=f"model {self._name}", daemon=True)
                self._owner.start()
            elif self._idle:
                self._idle = False
                self._changed.notify()

    def _own(self) -> None:
        with computing_with(self._threads):
            while batch := self._next():
                started = time.perf_counter()
                cost = sum(rows * work.row_cost for work, rows in batch)
                self._answer(batch, started)
                seconds = time.perf_counter() - started
                self._counters.add(batches_total=1, batch_rows_total=sum(rows for _, rows in batch))
                self._adapt(cost, seconds)

    def _next(self) -> list[tuple[Work, int]]:
        """The next batch: works and how many rows of each; empty when the thread shall end."""
        with self._changed:
            while True:
                while not self._lanes:
                    if self._closed:
                        self._owner = None
                        return []
                    self._idle = True
                    self._changed.wait()
                ability, lane = next(iter(self._lanes.items()))
                del self._lanes[ability]
                lane = deque(work for work in lane if not work.future.done())  # their callers have gone
                batch = self._cut(lane)
                for work, rows in batch:  # what is left of them goes behind those that got nothing
                    lane.popleft()
                    if work.done + rows < work.rows:
                        lane.append(work)
                if lane:
                    self._lanes[ability] = lane  # at the end: abilities take turns
                if batch:
                    return batch

    def _cut(self, lane: "deque[Work]") -> list[tuple[Work, int]]:
        """From the front of the lane: an equal share of the budget for each, then what others left over."""
        if not lane:
            return []
        share = self._budget // len(lane)
        budget = self._budget
        batch: list[tuple[Work, int]] = []
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

    def _answer(self, batch: list[tuple[Work, int]], started: float) -> None:
        taken = [work.take(rows) for work, rows in batch]
        for work, _ in batch:
            work.started_at = work.started_at or started
        try:
            outputs = torch.split(self._run(batch[0][0].ability, joined(taken)), [rows for _, rows in batch])
        except Exception as error:
            if len(batch) > 1:  # one of them is bad: each alone, so that only that one fails
                for one in batch:
                    self._answer([one], started)
                return
            log.exception("model %s failed to %s", self._name, batch[0][0].ability)
            self._fail(batch[0][0], error)
            return
        self._deliver(list(zip((work for work, _ in batch), outputs, strict=True)))

    def _deliver(self, answers: list[tuple[Work, Tensor]]) -> None:
        now = time.perf_counter()
        finished: list[Work] = []
        for work, answer in answers:
            work.parts.append(answer)
            work.done += len(answer)
            if work.done == work.rows:
                work.finished_at = now
                finished.append(work)
        for loop in {work.future.get_loop() for work in finished}:
            ready = [work for work in finished if work.future.get_loop() is loop]
            _wake(loop, partial(_resolve, ready))

    def _fail(self, work: Work, error: Exception) -> None:
        failure = InferenceFailed(f"model {self._name} failed to {work.ability}: {type(error).__name__}: {error}")
        with self._changed:  # none of its other rows need an answer
            for lane in self._lanes.values():
                if work in lane:
                    lane.remove(work)

        _wake(work.future.get_loop(), partial(_reject, work, failure))

    def _adapt(self, cost: int, seconds: float) -> None:
        if cost * 2 < self._budget:
            return  # a batch that was far from full says little of what a full one takes
        if seconds > TARGET_SECONDS:
            self._budget = max(SMALLEST_BUDGET, self._budget // 2)
        elif seconds < TARGET_SECONDS / 2:
            self._budget = min(LARGEST_BUDGET, self._budget * 2)


@contextlib.contextmanager
def computing_with(count: int) -> Iterator[None]:
    """The calling thread computes with so many torch threads."""
    before = torch.get_num_threads()  # without this, torch's first use in a thread overwrites what was set before it
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _resolve(works: list[Work]) -> None:
    for work in works:
        if not work.future.done():
            work.future.set_result(work)


def _reject(work: Work, failure: InferenceFailed) -> None:
    if not work.future.done():
        work.future.set_exception(failure)


def _wake(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(call)
