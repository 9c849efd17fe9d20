"""The batcher against real threads and event loops; what it runs is a function that notes what it was given."""

import asyncio
import contextlib
import gc
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import InferenceFailed
from app.ml.inference.batch_size import FEW, FIRST_BUDGET, HERE_SECONDS, LEAST_WORK, TARGET_SECONDS
from app.ml.inference.batcher import Batcher
from app.ml.inference.counters import Counters
from app.ml.inference.work import Work
from app.ml.tensors.shapes import Tensors

Tasks = list["asyncio.Task[Work]"]


class Doubler:
    """Doubles its input. Holds its first batch until `gate` is set, so that requests pile up."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.batches: list[tuple[str, Tensor]] = []

    def __call__(self, ability: str, inputs: Tensors) -> Tensor:
        self.begun.set()
        assert self.gate.wait(30)
        values = inputs["values"]
        self.batches.append((ability, values))
        if bool((values == 13).any()):
            raise ValueError("thirteen")
        return values * 2


def filled(rows: int, value: float, width: int = 4) -> Tensors:
    return {"values": torch.full((rows, width), value)}


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


@pytest.fixture
def batcher(doubler: Doubler) -> Iterator[Batcher]:
    made = Batcher(doubler, name="doubler:1", threads=1, counters=Counters())
    yield made
    doubler.gate.set()
    made.close()
    made.join(30)


def piled_up(doubler: Doubler, batcher: Batcher, requests: Callable[[], Tasks]) -> list[Work | BaseException]:
    """Answers to `requests`, all of which wait while a first one of one row holds the thread."""

    async def story() -> list[Work | BaseException]:
        first = asyncio.create_task(batcher.submit("double", filled(1, -1)))
        await asyncio.to_thread(doubler.begun.wait, 30)
        tasks = requests()
        await asyncio.sleep(0)
        doubler.gate.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(story())


def start(*submissions: Coroutine[Any, Any, Work]) -> Tasks:
    return [asyncio.create_task(submission) for submission in submissions]


def test_what_has_piled_up_goes_in_one_batch_and_everybody_gets_their_own(doubler: Doubler, batcher: Batcher) -> None:
    answers = piled_up(doubler, batcher, lambda: start(*(batcher.submit("double", filled(n, n)) for n in range(1, 6))))
    assert len(doubler.batches) == 2
    for n, work in enumerate(answers, start=1):
        assert isinstance(work, Work)
        assert work.outputs.tolist() == [[2.0 * n] * 4] * n
        assert work.queued_at <= work.started_at <= work.finished_at


def test_a_large_request_does_not_hold_up_a_small_one(doubler: Doubler, batcher: Batcher) -> None:
    width = 1024
    large = 40 * FIRST_BUDGET // width
    answers = piled_up(
        doubler,
        batcher,
        lambda: start(
            batcher.submit("double", filled(large, 1, width)),
            batcher.submit("double", filled(large, 2, width)),
            batcher.submit("double", filled(1, 3, width)),
        ),
    )
    assert all(isinstance(work, Work) for work in answers)
    assert [work.rows for work in answers if isinstance(work, Work)] == [large, large, 1]
    _, *batches = (values for _, values in doubler.batches)
    assert 3 in batches[0][:, 0], "the small request was in the first batch"
    assert 1 in batches[0][:, 0]
    assert 2 in batches[0][:, 0]
    assert len(batches) > 2
    small = answers[2]
    assert isinstance(small, Work)
    assert all(small.finished_at < work.finished_at for work in answers[:2] if isinstance(work, Work))
    assert sum(len(values) for values in batches) == 2 * large + 1
    for value, work in ((1, answers[0]), (2, answers[1])):
        assert isinstance(work, Work)
        assert (work.outputs == 2 * value).all()


def test_a_row_beyond_the_budget_goes_alone(doubler: Doubler, batcher: Batcher) -> None:
    answers = piled_up(
        doubler,
        batcher,
        lambda: start(*(batcher.submit("double", filled(1, n, 2 * FIRST_BUDGET)) for n in range(3))),
    )
    assert all(isinstance(work, Work) for work in answers)
    assert len(doubler.batches[1][1]) == 1


def test_one_bad_request_fails_alone(doubler: Doubler, batcher: Batcher) -> None:
    good, bad, fine = piled_up(
        doubler, batcher, lambda: start(*(batcher.submit("double", filled(2, n)) for n in (1, 13, 3)))
    )
    assert isinstance(bad, InferenceFailed)
    assert "thirteen" in bad.message
    assert isinstance(good, Work)
    assert isinstance(fine, Work)
    assert good.outputs[0, 0] == 2
    assert fine.outputs[0, 0] == 6


def test_requests_of_another_shape_are_answered_as_well(doubler: Doubler, batcher: Batcher) -> None:
    answers = piled_up(
        doubler, batcher, lambda: start(*(batcher.submit("double", filled(2, 1, width)) for width in (3, 5)))
    )
    assert [work.outputs.shape for work in answers if isinstance(work, Work)] == [(2, 3), (2, 5)]


def test_who_has_gone_is_skipped(doubler: Doubler, batcher: Batcher) -> None:
    def requests() -> Tasks:
        tasks = start(*(batcher.submit("double", filled(1, n)) for n in (1, 2, 3)))
        asyncio.get_running_loop().call_soon(tasks[1].cancel)
        return tasks

    _, gone, _ = piled_up(doubler, batcher, requests)
    assert isinstance(gone, asyncio.CancelledError)
    seen = [float(value) for _, values in doubler.batches for value in values[:, 0]]
    assert seen == [-1, 1, 3]


def test_a_caller_may_go_while_the_batch_runs(doubler: Doubler, batcher: Batcher) -> None:
    async def story() -> Work:
        gone = asyncio.create_task(batcher.submit("double", filled(1, 1)))
        await asyncio.to_thread(doubler.begun.wait, 30)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        doubler.gate.set()
        return await batcher.submit("double", filled(1, 2))

    assert asyncio.run(story()).outputs[0, 0] == 4


def test_abilities_are_not_mixed_and_take_turns(doubler: Doubler, batcher: Batcher) -> None:
    width = 1024
    large = 4 * FIRST_BUDGET // width
    answers = piled_up(
        doubler,
        batcher,
        lambda: start(
            batcher.submit("double", filled(large, 1, width)),
            batcher.submit("embed", filled(1, 2, width)),
        ),
    )
    assert all(isinstance(work, Work) for work in answers)
    assert [ability for ability, _ in doubler.batches][:4] == ["double", "double", "embed", "double"]


def test_a_closed_batcher_still_answers_and_its_thread_ends(doubler: Doubler, batcher: Batcher) -> None:
    doubler.gate.set()
    asyncio.run(batcher.submit("double", filled(1, 1)))
    batcher.close()
    batcher.join(30)
    assert asyncio.run(batcher.submit("double", filled(1, 2))).outputs[0, 0] == 4
    batcher.join(30)
    assert not any(thread.name == "model doubler:1" for thread in threading.enumerate())
    assert batcher.waiting == 0


def test_a_stall_with_a_small_batch_does_not_shrink_the_next_ones(doubler: Doubler, batcher: Batcher) -> None:
    async def story() -> None:
        first = asyncio.create_task(batcher.submit("double", filled(1, -1)))
        await asyncio.to_thread(doubler.begun.wait, 30)
        second = asyncio.create_task(batcher.submit("double", filled(FIRST_BUDGET // 4, 1)))
        await asyncio.sleep(3 * TARGET_SECONDS)
        doubler.gate.set()
        await asyncio.gather(first, second)

    asyncio.run(story())
    assert [len(values) for _, values in doubler.batches] == [1, FIRST_BUDGET // 4]


def test_what_is_cheap_is_computed_on_the_event_loop_and_what_is_not_in_the_thread() -> None:
    threads: list[str] = []

    def run(ability: str, inputs: Tensors) -> Tensor:
        threads.append(threading.current_thread().name)
        if ability == "toil":
            until = time.thread_time() + 2 * HERE_SECONDS
            while time.thread_time() < until:
                pass
        return inputs["values"]

    made = Batcher(run, name="mixed:1", threads=1, counters=Counters())
    here, aside = threading.current_thread().name, "model mixed:1"

    async def until(ability: str, where: str) -> None:
        for _ in range(1000):  # a busy machine may make anything look dear for a while
            await made.submit(ability, filled(2, 1))
            if threads[-1] == where:
                return
        raise AssertionError(f"{ability} was never computed in {where}")

    async def story() -> None:
        await made.submit("idle", filled(2, 1))
        assert threads == [aside], "nothing is known of its cost yet"
        await until("idle", here)
        await until("toil", aside)
        await made.submit("toil", filled(1000, 1))
        assert threads[-1] == aside
        await until("idle", here)

    asyncio.run(story())
    made.close()
    made.join(30)


def test_what_is_cheap_goes_back_to_the_event_loop_once_the_thread_has_ended_what_was_dear() -> None:
    """Else a model that is asked without a pause would stay with its thread for good."""
    gate, begun, threads = threading.Event(), threading.Event(), [""]

    def run(ability: str, inputs: Tensors) -> Tensor:
        threads.append(threading.current_thread().name)
        if ability == "hold":
            begun.set()
            assert gate.wait(30)
        return inputs["values"]

    made = Batcher(run, name="mixed:1", threads=1, counters=Counters())

    async def story() -> None:
        small = filled(2, 1)
        while made.here < small["values"].numel():  # a busy machine may make anything look dear for a while
            await made.submit("idle", small)
        held = asyncio.create_task(made.submit("hold", filled(made.here + 1, 1, width=1)))
        await asyncio.to_thread(begun.wait, 30)
        waits = made.put("idle", small)
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(held, waits.future)
        assert threads[-2:] == ["model mixed:1", threading.current_thread().name]
        assert made.waiting == 0

    asyncio.run(story())
    made.close()
    made.join(30)


@pytest.mark.parametrize("few", [1, FEW])
def test_many_little_requests_are_computed_on_the_event_loop_a_part_at_a_time(few: int) -> None:
    """Little is what may be computed there a few times at once."""
    batches: list[tuple[str, int]] = []

    def run(_: str, inputs: Tensors) -> Tensor:
        batches.append((threading.current_thread().name, len(inputs["values"])))
        return inputs["values"] * 2

    made = Batcher(run, name="small:1", threads=1, counters=Counters(), few=few)

    async def story() -> list[Work]:
        while made.here < 4 * FEW:  # a busy machine may make anything look dear for a while
            await made.submit("double", filled(8 * FEW, 1, width=1))
        batches.clear()
        width = made.here // (2 * few)
        return await asyncio.gather(*(made.submit("double", filled(1, n, width=width)) for n in range(8 * few)))

    answers = asyncio.run(story())
    assert {name for name, _ in batches} == {threading.current_thread().name}
    assert len(batches) > 1
    assert [work.outputs[0, 0] for work in answers] == [2.0 * n for n in range(8 * few)]
    made.close()
    made.join(30)


def test_the_first_batches_of_dear_elements_are_small_and_texts_count_by_their_tokens(doubler: Doubler) -> None:
    made = Batcher(doubler, name="dear:1", threads=1, counters=Counters(), element_work=LEAST_WORK / 64)
    mask = torch.arange(32) < torch.tensor([2] * 30 + [32, 4])[:, None]  # 96 tokens, and 1024 places with padding
    texts = {"values": torch.ones(32, 32) * mask, "mask": mask}
    even = {"values": torch.ones(40, 4), "mask": torch.ones(40, 4, dtype=torch.bool)}
    answers = piled_up(doubler, made, lambda: start(made.submit("double", even), made.submit("double", texts)))
    assert all(isinstance(work, Work) for work in answers)
    assert answers[1].outputs.tolist() == (2 * texts["values"]).tolist()  # type: ignore[union-attr]
    assert len(doubler.batches[1][1]) == 8 + 10, "an equal share of 64 elements for each: rows of 4 and of about 3"
    made.close()
    made.join(30)


def test_batches_that_take_long_become_as_small_as_the_time_allows_at_once() -> None:
    sizes: list[int] = []

    def run(ability: str, inputs: Tensors) -> Tensor:
        sizes.append(len(inputs["values"]))
        time.sleep(sizes[-1] * TARGET_SECONDS / 16)
        return inputs["values"]

    made = Batcher(run, name="slow:1", threads=1, counters=Counters())
    asyncio.run(made.submit("sleep", filled(160, 1, FIRST_BUDGET // 160)))
    asyncio.run(made.submit("sleep", filled(160, 1, FIRST_BUDGET // 160)))
    assert sizes[0] == 160
    assert max(sizes[1:]) <= 32, "ten times the target were followed by at most twice of it"
    made.close()
    made.join(30)


def test_an_answered_request_is_forgotten_with_its_last_reader(doubler: Doubler, batcher: Batcher) -> None:
    """Nothing of it refers to itself: its rows would stay until Python looks for such circles, which is seldom."""
    doubler.gate.set()

    async def story() -> "weakref.ref[Tensor]":
        inputs = filled(1, 1.0)
        work = await batcher.submit("double", inputs)
        assert work.outputs.tolist() == [[2.0] * 4]
        doubler.batches.clear()
        return weakref.ref(inputs["values"])

    gc.disable()
    try:
        forgotten = asyncio.run(story())
        batcher.close()
        batcher.join(30)  # until then its thread may still look at the batch
        assert forgotten() is None
    finally:
        gc.enable()


def test_what_is_cheap_can_be_computed_at_once_and_a_failure_leaves_the_batcher_free() -> None:
    made = Batcher(lambda _, inputs: inputs["values"], name="cheap:1", threads=1, counters=Counters())
    rows = np.ones((2, 4), np.float32)

    def fails() -> NDArray[np.float32]:
        raise RuntimeError("it cannot")

    async def story() -> None:
        assert made.compute_here(rows.size, lambda: rows) is None, "nothing is known of its cost yet"
        for _ in range(1000):  # a busy machine may make anything look dear for a while
            await made.submit("idle", filled(8, 1))
            with contextlib.suppress(RuntimeError):
                made.compute_here(rows.size, fails)
            answers = made.compute_here(rows.size, lambda: rows)
            if answers is not None:
                break
        assert answers is not None
        assert answers.outputs is rows
        assert answers.finite
        waiting = made.put("idle", filled(1, 1))
        assert made.compute_here(rows.size, lambda: rows) is None, "another one waits"
        await waiting.future
        rows[0, 0] = np.inf
        answers = made.compute_here(rows.size, lambda: rows)
        assert answers is None or not answers.finite

    asyncio.run(story())
    made.close()
    made.join(30)
