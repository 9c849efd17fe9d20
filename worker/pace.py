"""How fast a training is, measured before its first step, and what follows from that: precision and number of steps.

What was measured leaves no trace in the weights.
"""

import math
import time
from collections.abc import Callable

import torch

from app.ml.objectives.base import Batch
from worker.loader import Loader
from worker.mixture import Mixture
from worker.optimizer import Weights
from worker.preparation import Run
from worker.progress import Reporter
from worker.validation import Scored

CLEARLY_FASTER = 1.2
"""How many times faster bf16 must be to be chosen: rounding costs a little, and timings vary."""
WORTH_MEASURING = 2**22
"""Weights below which bf16 gains nothing on a processor, and nothing is measured."""
TRIAL_STEPS, TRIAL_SECONDS = 20, 5.0
TRIAL_SHARE = 0.05
"""Largest share of a time budget that measuring may take."""
RESERVE = 0.95
"""Share of a time budget that is planned: the machine may be slower later."""
FEWEST_VALIDATIONS, MOST_VALIDATIONS = 10, 100


def plan(
    reporter: Reporter,
    run: Run,
    weights: Weights,
    step: Callable[[Batch], None],
    loader: Loader | Mixture,
    validation: Scored,
) -> None:
    """Decides what must be known before the first step: parts of a batch, precision, number of steps."""
    training, position, device = run.spec.training, run.position, run.device
    limit = min(TRIAL_SECONDS, TRIAL_SHARE * (training.max_seconds or math.inf))

    def measured() -> float:
        batch = next(loader.epoch(0))
        before = weights.values.clone()
        seconds = seconds_per_step(lambda: step(batch), limit)
        weights.reset(before)
        return seconds

    position.accumulation, position.devices = training.accumulation, run.devices.count
    automatic = training.precision == "auto"
    position.bf16 = training.precision == "bf16" or (automatic and device.type == "cuda" and has_bf16(device))
    if automatic and device.type == "cpu" and len(weights.values) >= WORTH_MEASURING and has_bf16(device):
        exact = measured()
        position.bf16 = True
        rounded = measured()
        (faster,) = run.devices.agree(exact / rounded)
        position.bf16 = faster >= CLEARLY_FASTER
        reporter.event(
            "message",
            f"precision {'bf16' if position.bf16 else 'fp32'}: "
            f"a step took {1e3 * exact:.3g} ms in fp32 and {1e3 * rounded:.3g} ms in bf16",
        )
    position.total_steps = training.epochs * loader.steps_per_epoch
    if training.max_seconds is not None:
        begun = time.monotonic()
        validation.score(run.network)
        judging = time.monotonic() - begun
        seconds, judging = run.devices.agree(measured(), judging)
        most = position.total_steps
        judgements = min(MOST_VALIDATIONS, max(FEWEST_VALIDATIONS, training.epochs))
        position.total_steps = planned_steps(training.max_seconds, seconds, judgements * judging, most)
        reporter.event(
            "message",
            f"{position.total_steps:,} of {most:,} steps fit into {training.max_seconds:g} s: "
            f"a step took {1e3 * seconds:.3g} ms, a validation {judging:.3g} s",
        )


def has_bf16(device: torch.device) -> bool:
    """True where the device multiplies bf16 matrices by itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def seconds_per_step(step: Callable[[], None], limit: float = TRIAL_SECONDS) -> float:
    """Median time of up to `TRIAL_STEPS` steps after a first one, in `limit` seconds or a little more."""
    step()
    begun = time.monotonic()
    times: list[float] = []
    while len(times) < TRIAL_STEPS and (not times or time.monotonic() - begun < limit):
        before = time.monotonic()
        step()
        times.append(time.monotonic() - before)
    return sorted(times)[len(times) // 2]


def planned_steps(budget: float, step: float, validations: float, most: int) -> int:
    """Steps of `step` seconds that fit into `budget` beside all validations; 1 to `most`. All in seconds."""
    left = max(RESERVE * budget - validations, 0.1 * budget)
    return max(1, min(most, int(left / step)))


def validation_interval(total: int, epoch: int) -> int:
    """Steps between two validations: an epoch, or more and less of it so that a job has between 10 and 100."""
    passes = total / epoch
    if FEWEST_VALIDATIONS <= passes <= MOST_VALIDATIONS:
        return epoch
    return max(1, round(total / min(MOST_VALIDATIONS, max(FEWEST_VALIDATIONS, passes))))
