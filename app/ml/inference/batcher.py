"""The queue and the one thread that owns a model. Knows no HTTP and nothing of what a network means.

No waiting window: the owner takes what has piled up, so an idle model answers at once and a busy one fills its batches.
What takes less than the hop to a thread and back is computed where the requests arrive, on the event loop; of many such
requests as much at once as holds it up no longer than that.
Rows of different lengths are worked off in the order of their lengths, so that few of them are padded.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from app.errors import InferenceFailed
from app.ml.inference.batch_size import FEW, BatchSize
from app.ml.inference.counters import Counters
from app.ml.inference.waiting import Batch, Waiting
from app.ml.inference.work import Answers, Work, call_in, call_soon, reject, resolve
from app.ml.tensors.finite import all_finite
from app.ml.tensors.padding import elements, joined
from app.ml.tensors.shapes import Tensors
from app.ml.tensors.threads import computing_with

log = logging.getLogger(__name__)

Run = Callable[[str, Tensors], Tensor]
"""Ability and inputs [B, …] to answers [B, …]."""


class Batcher:
    """The queue of one model. Its thread starts with the first request; after `close` it ends once nothing waits."""

    def __init__(
        self,
        run: Run,
        *,
        name: str,
        threads: int,
        counters: Counters,
        element_work: float = 0.0,
        few: int = FEW,
    ) -> None:
        """`threads` is the number of torch threads that the owner computes with.

        `element_work` is about how many multiplications an element costs, as far as that is known; batches of as many
        requests as `few` are as good as larger ones.
        """
        self._run, self._name, self._threads, self._counters = run, name, threads, counters
        self._waiting = Waiting()
        self._changed = threading.Condition()
        self._owner: threading.Thread | None = None
        self._busy = False
        """True while somebody computes; what has come meanwhile is begun once he leaves."""
        self._called = False
        """True from when the thread is asked to compute until it begins."""
        self._closed = False
        self._size = BatchSize(element_work)
        self._few = few

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        with self._changed:
            return len(self._waiting)

    @property
    def here(self) -> int:
        """The largest cost that is computed on the event loop, in elements; 0 where none is."""
        return self._size.here if self._threads == 1 else 0

    async def submit(self, ability: str, inputs: Tensors) -> Work:
        """The answered work of `inputs` [B, …]. Raises InferenceFailed when the network could not answer."""
        work = self.put(ability, inputs)
        await work.future
        return work

    def put(self, ability: str, inputs: Tensors) -> Work:
        """Queues `inputs` [B, …]; the work's `future` will be done once it is answered."""
        rows = len(inputs["values"])
        future = asyncio.get_running_loop().create_future()
        work = Work(ability, inputs, future, rows, max(1, elements(inputs) // rows))
        with self._changed:
            self._waiting.add(work)
        work.future.get_loop().call_soon(self._begin)  # behind all requests that are ready now: they go in one batch
        return work

    def compute_here(self, cost: int, compute: Callable[[], NDArray[np.float32]]) -> Answers | None:
        """What `compute` gives for rows of that cost; None where others wait, or where it would hold up the event loop.

        Raises whatever it does: nobody else's rows are among these.
        """
        with self._changed:
            if self._busy or self._waiting or cost > self.here:
                return None
            self._busy = True
        try:
            started, worked = self._clocks()
            outputs = compute()
            seconds = self._note(len(outputs), cost, started, worked)
            return Answers(outputs, all_finite(outputs), started, seconds)
        finally:
            self._leave()

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

    def _begin(self) -> None:
        """On the event loop."""
        with self._changed:
            if self._busy or not self._waiting:
                return
            self._busy = True
            here = self.here if self._waits_for_the_loop() else 0
            if not here:
                if self._owner is None:
                    self._owner = threading.Thread(target=self._own, name=f"model {self._name}", daemon=True)
                    self._owner.start()
                self._called = True
                self._changed.notify()
                return
        try:
            if batch := self._take(here):
                with computing_with(1):
                    self._work_off(batch)
        finally:
            self._leave()

    def _waits_for_the_loop(self) -> bool:
        """Whether what waits is little, or made of what is little; for who holds the lock.

        All of it then: a thread that computes while the event loop works takes many times as long, and so does that.
        """
        costs = self._waiting.costs
        return bool(costs) and (sum(costs) <= self.here or self._few * max(costs) <= self.here)

    def _own(self) -> None:
        with computing_with(self._threads):
            while self._wait():
                while batch := self._take():
                    self._work_off(batch)
                    with self._changed:
                        if self._waits_for_the_loop():
                            break
                self._leave()

    def _wait(self) -> bool:
        """Until there is something for the owner's thread; False when it shall end."""
        with self._changed:
            while not self._called:
                if self._closed:
                    self._owner = None
                    return False
                self._changed.wait()
            self._called = False
            return True

    def _leave(self) -> None:
        """Whoever was busy is so no longer; what waits is for who comes next."""
        with self._changed:
            self._busy = False
            loops = self._waiting.loops
        for loop in loops:
            call_soon(loop, self._begin)

    def _work_off(self, batch: Batch) -> None:
        cost = sum(rows * work.row_cost for work, rows in batch)
        started, worked = self._clocks()
        self._answer(batch, started)
        self._note(sum(rows for _, rows in batch), cost, started, worked)

    def _clocks(self) -> tuple[float, float | None]:
        """When a batch starts, and by its thread's own clock where that is to be asked."""
        return time.perf_counter(), time.thread_time() if self._size.doubted else None

    def _note(self, rows: int, cost: int, started: float, worked: float | None) -> float:
        """Learns from a batch that has ended, and gives what it took in seconds."""
        seconds = time.perf_counter() - started
        self._size.learn(cost, seconds, None if worked is None else time.thread_time() - worked)
        self._counters.add(batches_total=1, batch_rows_total=rows)
        return seconds

    def _take(self, most: int | None = None) -> Batch:
        """The next batch, which costs `most` at most; empty when nothing waits."""
        with self._changed:
            return self._waiting.take(self._size.budget if most is None else most)

    def _answer(self, batch: Batch, started: float) -> None:
        taken = [work.take(rows) for work, rows in batch]
        for work, _ in batch:
            work.started_at = work.started_at or started
        try:
            outputs = self._outputs(batch[0][0].ability, joined(taken))
        except Exception as error:
            if len(batch) > 1:  # one of them is bad: each alone, so that only that one fails
                for one in batch:
                    self._answer([one], started)
                return
            log.exception("model %s failed to %s", self._name, batch[0][0].ability)
            self._fail(batch[0][0], error)
            return
        self._deliver(batch, outputs)

    def _outputs(self, ability: str, inputs: Tensors) -> NDArray[np.float32]:
        """As an array: a view of a tensor costs ten times as much as one of that."""
        outputs = self._run(ability, inputs).numpy()
        if len(outputs) != len(inputs["values"]):
            raise ValueError(f"{len(outputs)} answers to {len(inputs['values'])} rows; this is a bug")
        return outputs

    def _deliver(self, batch: Batch, answers: NDArray[np.float32]) -> None:
        now = time.perf_counter()
        finite = all_finite(answers)
        finished: list[Work] = []
        first = 0
        for work, rows in batch:
            work.parts.append(answers[first : first + rows])
            work.finite = work.finite and finite
            work.done += rows
            first += rows
            if work.done == work.rows:
                work.finished_at = now
                finished.append(work)
        for loop in {work.future.get_loop() for work in finished}:
            ready = [work for work in finished if work.future.get_loop() is loop]
            call_in(loop, partial(resolve, ready))

    def _fail(self, work: Work, error: Exception) -> None:
        failure = InferenceFailed(f"model {self._name} failed to {work.ability}: {type(error).__name__}: {error}")
        with self._changed:  # none of its other rows need an answer
            self._waiting.remove(work)
        call_in(work.future.get_loop(), partial(reject, work, failure))
