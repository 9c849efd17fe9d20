"""What waits in a model's queue: one request's rows, and how its caller hears of the answers. Knows no model."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import InferenceFailed
from app.ml.tensors.padding import joined_answers, shortened
from app.ml.tensors.shapes import Tensors


class Answers(NamedTuple):
    """What was computed where it was asked."""

    outputs: NDArray[np.float32]
    """[B, …]"""
    finite: bool
    started_at: float
    seconds: float

    def part(self, rows: slice) -> "Answers":
        """Those to some of the rows."""
        return Answers(self.outputs[rows], self.finite, self.started_at, self.seconds)


@dataclass(eq=False)
class Work:
    """A request's rows in the queue, and their answers as far as they are known."""

    ability: str
    inputs: Tensors
    future: "asyncio.Future[None]"
    """Done once all rows are answered. It does not hold the work: the two would outlive their request, with all its
    rows, until Python looks for what refers to itself."""
    rows: int
    row_cost: int
    queued_at: float = field(default_factory=time.perf_counter)
    started_at: float = 0.0
    finished_at: float = 0.0
    done: int = 0
    parts: list[NDArray[np.float32]] = field(default_factory=list)
    finite: bool = True
    """False when a number in a batch that it was part of, perhaps a stranger's, is not finite."""
    order: Tensor | None = None
    """Which row of the request the answers belong to, one after the other; None where they are in its order."""

    def __post_init__(self) -> None:
        if self.rows > 1 and "mask" in self.inputs:
            self.order = self.inputs["mask"].sum(1).argsort()
            self.inputs = {name: tensor[self.order] for name, tensor in self.inputs.items()}

    @property
    def seconds(self) -> float:
        """From the start of its first batch to the end of its last."""
        return self.finished_at - self.started_at

    @property
    def outputs(self) -> NDArray[np.float32]:
        """All answers, [rows, …]."""
        answers = self.parts[0]
        if len(self.parts) > 1:
            answers = joined_answers([torch.from_numpy(part) for part in self.parts]).numpy()
        if self.order is None:
            return answers
        placed = np.empty_like(answers)
        placed[self.order.numpy()] = answers
        return placed

    @property
    def answers(self) -> Answers:
        """The same, once all rows are answered, as if they had been computed where they were asked."""
        return Answers(self.outputs, self.finite, self.started_at, self.seconds)

    def take(self, rows: int) -> Tensors:
        """The next rows that have no answer."""
        if rows == self.rows:
            return self.inputs
        return shortened({name: tensor[self.done : self.done + rows] for name, tensor in self.inputs.items()})


def resolve(works: list[Work]) -> None:
    for work in works:
        if not work.future.done():
            work.future.set_result(None)


def reject(work: Work, failure: InferenceFailed) -> None:
    if not work.future.done():
        work.future.set_exception(failure)


def call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """At once where this is that loop's thread."""
    if _running() is loop:
        call()
    else:
        call_soon(loop, call)


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """From any thread."""
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
        loop.call_soon_threadsafe(call)


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
