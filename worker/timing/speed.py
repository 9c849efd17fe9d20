"""How long a training's steps take, measured before its first one. What was measured leaves no trace in the weights."""

import math
import time
from collections.abc import Callable, Sequence
from itertools import chain, count
from statistics import median
from typing import NamedTuple

import torch

from app.ml.tensors.batch import Batch
from worker.data.loader import Loader
from worker.data.mixture import Mixture
from worker.step.devices import Devices
from worker.step.optimizer import Weights
from worker.training_run import Run

WORTH_MEASURING = 2**25
"""Multiplications of a matrix product of a step, in the mean, below which bf16 gains little or nothing on a processor,
and nothing is measured; convolutions of twice as many took 1.5 times as long in fp32. A GPU is always measured."""
TRIAL_STEPS, TRIAL_SECONDS = 20, 5.0
TRIAL_SHARE = 0.05
"""Largest share of a time budget that measuring may take, where a step takes less."""
DEAR_STEP = 2.0
"""Seconds of a first step from which it is measured by itself: what is only done once takes no such time."""


class Took(NamedTuple):
    """Seconds of a step: by the clock, and those that all cores worked on it together."""

    seconds: float
    worked: float


class Trial:
    """Steps of a training that has not begun, which are taken back."""

    def __init__(self, run: Run, weights: Weights, step: Callable[[Batch], None], loader: Loader | Mixture) -> None:
        training = run.spec.training
        self.parts = dict.fromkeys((False, True), training.accumulation)
        """Those that memory makes of a batch, in fp32 and in bf16."""
        self._run, self._weights, self._step, self._loader = run, weights, step, loader
        self._limit = min(TRIAL_SECONDS, TRIAL_SHARE * (training.max_seconds or math.inf))
        self._times: dict[bool, list[Took]] = {}
        """What steps took, in fp32 and in bf16, where that was measured."""

    def precisions(self) -> tuple[float, float]:
        """Seconds of a step in fp32 and in bf16.

        A processor's are those that it worked itself, with all cores together: they say the same on a busy machine.
        """
        of_processor = self._run.device.type == "cpu"
        self._measure(False, True)
        exact, rounded = (
            median(took.worked if of_processor else took.seconds for took in self._times[bf16])
            for bf16 in (False, True)
        )
        return exact, rounded

    def seconds(self, bf16: bool) -> float:
        """Of a step, in the mean: batches of texts differ in length."""
        if bf16 not in self._times:
            self._measure(bf16)
        return mean_without_slowest(self._times[bf16])

    def _measure(self, *ways: bool) -> None:
        before = self._weights.values.clone()
        times = step_times([self._way(bf16) for bf16 in ways], self._run.devices, self._limit)
        self._times |= dict(zip(ways, times, strict=True))
        self._weights.reset(before)

    def _way(self, bf16: bool) -> Callable[[], None]:
        """Makes a step; every way takes the same batches in the same order."""
        batches, position = chain.from_iterable(self._loader.epoch(0) for _ in count()), self._run.position

        def whole() -> None:
            position.bf16, position.accumulation = bf16, self.parts[bf16]
            self._step(next(batches))
            if self._run.device.type == "cuda":
                torch.cuda.synchronize(self._run.device)  # a GPU is only told what to do, and the step returns
            self.parts[bf16] = position.accumulation

        return whole


def rounding_is_weighed(run: Run) -> bool:
    """True where measuring decides between fp32 and bf16."""
    worth = run.device.type == "cuda" or run.product >= WORTH_MEASURING
    return run.spec.training.precision == "auto" and worth and has_bf16(run.device)


def has_bf16(device: torch.device) -> bool:
    """True where the device multiplies bf16 matrices by itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def mean_without_slowest(times: Sequence[Took]) -> float:
    """Seconds of a step by the clock, without the slowest tenth of the steps, which something else disturbed."""
    counted = sorted(took.seconds for took in times)[: max(1, len(times) - len(times) // 10)]
    return sum(counted) / len(counted)


def step_times(ways: Sequence[Callable[[], None]], devices: Devices, limit: float = TRIAL_SECONDS) -> list[list[Took]]:
    """What up to `TRIAL_STEPS` steps took that were made in each of these ways, in turn, after a first one of each.

    In `limit` seconds for each way, or a little more; where a first step takes longer, and `DEAR_STEP` at least, there
    is no other. All devices make as many: a step waits for the others.
    """
    first = [_timed(step) for step in ways]
    if any(devices.agree(max(took.seconds for took in first) >= max(limit, DEAR_STEP))):
        return [[took] for took in first]
    until, times = time.monotonic() + limit * len(ways), [list[Took]() for _ in ways]
    while any(devices.agree(not times[0] or (len(times[0]) < TRIAL_STEPS and time.monotonic() < until))):
        for step, taken in zip(ways, times, strict=True):
            taken.append(_timed(step))
    return times


def _timed(step: Callable[[], None]) -> Took:
    began, worked = time.monotonic(), time.process_time()
    step()
    return Took(time.monotonic() - began, time.process_time() - worked)


def spoken(seconds: float) -> str:
    """A time in words, with three digits: `12.5 ms`, `31.6 s`."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"
