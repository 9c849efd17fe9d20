"""What follows from how fast a training is: its precision, its number of steps, and how often it is validated."""

import math
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from app.ml.jobs.optimization import ResolvedTraining
from app.ml.tensors.batch import Batch
from worker.data.loader import Loader
from worker.data.mixture import Mixture
from worker.progress import Reporter
from worker.step.optimizer import Weights
from worker.timing.clock import Clock
from worker.timing.speed import Trial, rounding_is_weighed, spoken
from worker.training_run import Run
from worker.validation.scoring import VALIDATION_ROWS
from worker.validation.validator import Validator

CLEARLY_FASTER = 1.2
"""How many times faster bf16 must be to be chosen: rounding costs a little, and timings vary."""
RESERVE = 0.95
"""Share of a time budget that is planned: the machine may be slower later."""
FEWEST_VALIDATIONS, MOST_VALIDATIONS = 10, 100
VALIDATION_SHARE = 0.05
"""Share of the work of a training that validations may be, where a row costs a third of what it costs to learn; but
there are always `ENOUGH_VALIDATIONS`."""
ENOUGH_VALIDATIONS = 5
FEW_STEPS = 50
"""Of a time budget, under which a model may well be no better than an untrained one."""
LOOKS, BEHIND = 20, 5
"""Times that a time budget is compared with the clock; and those that a look goes back, to see how fast steps are: the
last few may be one that was validated, or one that something else held up."""
OFF = 0.05
"""Share of a time budget by which the expected end may miss it before the steps that are left are planned again."""
TOLD = 0.1
"""Share of the steps by which a plan differs from the one that was told last when it is told."""


def plan(
    reporter: Reporter,
    run: Run,
    weights: Weights,
    step: Callable[[Batch], None],
    loader: Loader | Mixture,
    validator: Validator,
) -> None:
    """Finds what must be known before the first step: parts of a batch, precision, the loss, the number of steps."""
    training, position, begun = run.spec.training, run.position, time.monotonic()
    trial = Trial(run, weights, step, loader)
    position.devices = run.devices.count
    bf16 = training.precision == "bf16"
    if rounding_is_weighed(run):
        exact, rounded = trial.precisions()
        (faster,) = run.devices.agree(exact / rounded)
        bf16 = faster >= CLEARLY_FASTER
        reporter.event(
            "message",
            f"precision {'bf16' if bf16 else 'fp32'}: a step took {spoken(exact)} in fp32 and {spoken(rounded)} in bf16"
            + (", of all cores together" if run.device.type == "cpu" else ""),
        )
    position.bf16, position.accumulation = bf16, trial.parts[bf16]
    validated = min(validator.scorer.rows, VALIDATION_ROWS) / training.batch_size
    interval = partial(validation_interval, epoch=loader.steps_per_epoch, validated=validated)
    position.total_steps = most = most_steps(training, loader)
    looked = time.monotonic()
    validator.look_first()
    validating = time.monotonic() - looked
    if training.max_seconds is not None:
        seconds, validating, spent = run.devices.agree(trial.seconds(bf16), validating, time.monotonic() - begun)
        position.accumulation, position.elapsed_seconds = trial.parts[bf16], spent
        position.total_steps = planned_steps(training.max_seconds, spent, seconds, validating, most, interval)
        reporter.event(
            "message",
            f"{position.total_steps:,} of {most:,} steps fit into {training.max_seconds:g} s: "
            f"a step took {spoken(seconds)}, a validation {spoken(validating)}",
        )
        if position.total_steps < min(most, FEW_STEPS):
            reporter.event(
                "warning",
                f"what is learned in {training.max_seconds:g} s is little, so few steps fit into it: give more "
                "max_seconds, a smaller preset of the encoder, or smaller items (of pictures: modality.size)",
                level="warn",
            )
    position.validate_every = interval(position.total_steps)


class Budget:
    """Keeps the promise of `max_seconds` when the speed changes: plans the steps that are left again.

    The learning rate goes on from where it is, so the schedule still ends with the last step.
    """

    def __init__(self, reporter: Reporter, run: Run, clock: Clock, most: int) -> None:
        self.reporter, self.run, self.clock, self.most = reporter, run, clock, most
        self._every, self._told = max(1, run.position.total_steps // LOOKS), run.position.total_steps
        self._seen = deque([(clock.elapsed, run.position.step)], maxlen=BEHIND)
        """Seconds and steps at the last looks."""

    def look(self) -> bool:
        """Between two steps; True when it has planned again, and that has to be saved before a step is made."""
        position, limit = self.run.position, self.run.spec.training.max_seconds
        if limit is None or position.step - self._seen[-1][1] < self._every or position.step >= position.total_steps:
            return False
        elapsed, (before, step) = self.clock.elapsed, self._seen[0]
        elapsed, seconds = self.run.devices.agree(elapsed, (elapsed - before) / (position.step - step))
        self._seen.append((elapsed, position.step))
        left = position.total_steps - position.step
        ending = elapsed + seconds * left
        room = limit - elapsed
        fits = min(self.most - position.step, max(1, int(RESERVE * room / seconds)))
        if fits == left or (ending <= limit and (fits - left) * seconds <= 2 * OFF * limit):
            return False
        share = position.share
        position.planned_at, position.planned_share = position.step, share
        position.total_steps = position.step + fits
        if abs(position.total_steps - self._told) >= TOLD * self._told:
            self.reporter.event(
                "message",
                f"a step takes {spoken(seconds)} now, validations included: {position.total_steps:,} steps fit into "
                f"{limit:g} s instead of {self._told:,}; the schedule goes on from where it is",
            )
            self._told = position.total_steps
        return True


def most_steps(training: ResolvedTraining, loader: Loader | Mixture) -> int:
    """Those of all epochs."""
    return training.epochs * loader.steps_per_epoch


def planned_steps(
    budget: float, spent: float, step: float, validation: float, most: int, interval: Callable[[int], int]
) -> int:
    """Steps of `step` seconds that fit into what is left of `budget` seconds, 1 to `most`.

    Room is left for as many validations, of `validation` seconds each, as the steps would have by themselves.
    """

    def fitting(seconds: float) -> int:
        return max(1, min(most, int(max(seconds, 0.1 * budget) / step)))

    left = RESERVE * budget - spent
    alone = fitting(left)
    return fitting(left - validation * alone / interval(alone))


def validation_interval(total: int, epoch: int, validated: float) -> int:
    """Steps between two validations: an epoch, or more and less of it so that a job has between 10 and 100.

    Fewer than 10, down to 5, where they would be more than `VALIDATION_SHARE` of the work: a validation costs a third
    of `validated` steps. A rule and no measurement, since the best weights depend on when there were validations.
    """
    passes = total / epoch
    if FEWEST_VALIDATIONS <= passes <= MOST_VALIDATIONS:
        interval = epoch
    else:
        interval = round(total / min(MOST_VALIDATIONS, max(FEWEST_VALIDATIONS, passes)))
    affordable = math.ceil(validated / 3 / VALIDATION_SHARE)
    return max(1, interval, min(affordable, total // ENOUGH_VALIDATIONS))
