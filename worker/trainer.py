"""The training story, top to bottom; always in a process of its own, or in one per device.

A step is seeded by the job's seed and its number, and the learning rate is a function of the step, so that a checkpoint
needs no random state and no scheduler: a resumed job ends with the weights of an undisturbed one.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from app.errors import NonFiniteLoss, OutOfMemory
from app.ml.tensors.batch import Batch
from app.ml.tensors.threads import computing_with
from worker import checkpoint
from worker.augmentation_audit import settle_augmentation
from worker.preparation import prepare
from worker.progress import Reporter, Stopped
from worker.publishing.publication import publish
from worker.solving import solve
from worker.step.compiling import compile_network, release
from worker.step.exchange import exchange
from worker.step.gradients import Gradients
from worker.step.graphs import graphs_for
from worker.step.losses import Losses, not_finite
from worker.step.memory import in_more_parts, keep_freed
from worker.step.optimizer import Weights
from worker.timing import pace
from worker.timing.clock import Clock
from worker.timing.threads import settle_threads, team_for, without_denormals
from worker.training_run import Run
from worker.validation.scoring import scorer_for
from worker.validation.validator import Validator

REPORT_SECONDS = 0.5
FEW_VALIDATED = 512
"""Rows up to which a network that a team learns is validated by one thread. On idle cores two gain a millisecond at
most; on cores that others use, each of some dozen operations waits for the thread that is not running."""
SMALLER_RATE = 0.1
"""Factor on the learning rate after the loss was no number for the first time."""


def run(reporter: Reporter) -> None:
    """Trains the job's network and publishes it.

    Raises Stopped when it saved and left, NonFiniteLoss, OutOfMemory, and whatever is wrong with the spec or the data.
    """
    keep_freed()
    try:
        with without_denormals():
            prepared = prepare(reporter)
            if not prepared.spec.objective.solved:
                settle_augmentation(reporter, prepared)
                settle_threads(reporter, prepared)
            with computing_with(prepared.position.threads):
                if not prepared.spec.objective.solved:
                    Trainer(reporter, prepared).train()
                elif prepared.devices.first:
                    solve(reporter, prepared)
        if prepared.devices.first:
            publish(reporter, prepared)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the device's memory did not suffice: {error}; try a smaller batch_size") from error


class Trainer:
    """Moves a run's weights from its position to the end of its schedule."""

    def __init__(self, reporter: Reporter, run: Run) -> None:
        self.reporter, self.run = reporter, run
        self.network, self.training = run.network, run.spec.training
        self.loader = run.training_batches(self.training.batch_size)
        self.validator = Validator(reporter, run, scorer_for(run))
        if self.training.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = Weights(self.network, self.training)
        self.team = team_for(run)
        descent = None if self.team is None else self.network.descent(self.team)
        graphs = graphs_for(run)
        self.gradients = Gradients(self.network, run.device, run.devices, run.autocast, descent, graphs)
        self.writer = checkpoint.Writer(reporter)
        self.losses, self.leaving = Losses(), False
        if self.training.compile:
            compile_network(reporter, run, self.gradients, next(self.loader.epoch(0)))
        if run.tensors:
            self.restore(run.tensors)
        else:
            pace.plan(reporter, run, self.weights, self.try_step, self.loader, self.validator)
        self.clock = Clock(self.position)
        self.budget = pace.Budget(reporter, run, self.clock, pace.most_steps(self.training, self.loader))
        self._saved_at = self._reported_at = time.monotonic()

    @property
    def position(self) -> checkpoint.Position:
        return self.run.position

    def train(self) -> None:
        """Steps to the end of the schedule, or until validation stops improving; leaves the best weights in place."""
        if self.position.step == 0:
            self.validator.begin()
            self.save()
        self.report()
        with self.divided():
            while not self.done():
                try:
                    self.train_epoch()
                except NonFiniteLoss as error:
                    self.go_back(error)
        self.save()
        self.writer.flush()
        self.report()
        self.weights.release()
        release(self.network)
        self.network.load_state_dict(self.validator.best)

    def done(self) -> bool:
        """True at the end of the schedule, or when validation stopped improving."""
        return self.validator.stopped_early() or self.position.step >= self.position.total_steps

    def train_epoch(self) -> None:
        """What is left of the position's epoch, or less when the training is done before."""
        position = self.position
        for batch in self.batches():
            self.train_step(batch)
            position.step += 1
            if position.step % position.validate_every == 0 or position.step == position.total_steps:
                self.validate()
            self.between_steps()
            if self.done():
                return

    def batches(self) -> Iterator[Batch]:
        """What is left of the position's epoch."""
        epoch, start = divmod(self.position.step, self.loader.steps_per_epoch)
        batches = self.loader.epoch(epoch, start)
        return batches if self.team is None else self.team.ahead(batches)

    def divided(self) -> AbstractContextManager[None]:
        """Steps, and what lies between them: the team, where there is one, is led."""
        return nullcontext() if self.team is None else self.team.leading()

    def train_step(self, batch: Batch) -> None:
        """One update of the weights."""
        position = self.position
        self.move(batch, position.step, position.share, position.rate_scale)
        self.network.after_step(position.step + 1, position.total_steps)

    def move(self, batch: Batch, step: int, share: float, scale: float = 1.0) -> None:
        """Moves the weights against the batch's gradients."""
        self.compute(batch)
        self.weights.step(step, share, scale)

    def compute(self, batch: Batch) -> None:
        """The batch's gradients, in more parts where memory does not suffice."""
        while True:
            self.weights.clear()
            try:
                return self.forward_backward_step(batch)
            except RuntimeError as error:
                in_more_parts(error, self.reporter, self.run, len(batch.rows))

    def forward_backward_step(self, batch: Batch) -> None:
        """Gradients of the mean loss over the batch, on all devices together."""
        loss = self.gradients.add(self.run.augment(batch), self.position.accumulation)
        sums, count = {"loss": loss.sum, **loss.parts}, loss.count
        if self.run.devices.count > 1:
            stop = self.reporter.stop.is_set()
            sums, count, self.leaving = exchange(self.run.devices, self.weights, sums, count, leaving=stop)
            if not sums["loss"].isfinite():
                raise not_finite(float(sums["loss"]), self.position, self.network)
        if count != len(batch.rows):
            self.weights.gradient.mul_(len(batch.rows) / count)
        self.losses.add(sums, count)

    def validate(self) -> None:
        """Validates the weights: their moving average, where there is one."""
        losses = self.means()
        self.weights.swap()
        few = self.validator.scorer.rows <= FEW_VALIDATED
        with nullcontext() if self.team is None or few else self.team.resting():
            self.validator.validate(losses, self.position.step / self.loader.steps_per_epoch)
        self.weights.swap()
        self.losses.clear()

    def between_steps(self) -> None:
        """Between two steps: reports, saves when it is time, and leaves when asked to."""
        now = time.monotonic()
        if self.leaving or (self.run.devices.count == 1 and self.reporter.stop.is_set()):
            self.save()
            self.writer.flush()
            self.report()
            raise Stopped
        if self.budget.look() or now - self._saved_at >= self.training.checkpoint_seconds:
            self.save()
        if now - self._reported_at >= REPORT_SECONDS:
            self.report()

    def save(self) -> None:
        """Hands a checkpoint of finite weights to its writer."""
        if not self.run.devices.first:
            return
        self.means()
        position = self.position
        if not self.weights.values.isfinite().all():
            raise not_finite(math.nan, position, self.network)
        position.elapsed_seconds, position.count = self.clock.elapsed, self.losses.count
        tensors = checkpoint.prefixed("network", self.network.state_dict())
        tensors |= checkpoint.prefixed("best", self.validator.best) | checkpoint.prefixed("sums", self.losses.sums)
        self.writer.save(checkpoint.State(position, tensors | self.weights.state()))
        self._saved_at = time.monotonic()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts a checkpoint's tensors in place."""
        self.weights.values.zero_()  # also what lies between the tensors, where no number may be left that is none
        self.network.load_state_dict(checkpoint.under("network", tensors))
        self.weights.restore(tensors)
        self.validator.best = checkpoint.under("best", tensors)
        self.losses.restore(checkpoint.under("sums", tensors), self.position.count, self.run.device)
        self.network.train()

    def go_back(self, error: NonFiniteLoss) -> None:
        """Returns to the newest checkpoint, which is finite, with a smaller rate; the second time, gives up."""
        self.writer.flush()
        self.run.devices.agree(self.position.step)  # all read what the first one has written
        saved = checkpoint.newest(self.reporter) if self.position.rate_scale == 1.0 else None
        if saved is None:
            raise error
        self.run.position = saved.position
        self.restore(saved.tensors)
        self.position.rate_scale = SMALLER_RATE
        self.reporter.event(
            "warning",
            f"{error.message}; goes on from step {self.position.step} with {SMALLER_RATE:g} times the learning rate",
            level="warn",
        )
        self.save()

    def try_step(self, batch: Batch) -> None:
        """A step that is taken back: how long it takes is what counts."""
        with self.divided():
            self.move(batch, 0, 0.0)
        self.losses.clear()

    def means(self) -> dict[str, float]:
        """Mean training loss and its parts since the last validation. Raises NonFiniteLoss."""
        return self.losses.means(self.position, self.network)

    def report(self) -> None:
        """Tells how far the job is."""
        if not self.run.devices.first:
            return
        position = self.position
        stopped = self.validator.stopped_early()
        self.reporter.progress(
            self.clock.progress(position, self.loader, ended=stopped),
            {f"train_{name}": value for name, value in self.means().items()}
            | {k: v for k, v in position.metrics.items() if not k.startswith("train_")},
        )
        self._reported_at = time.monotonic()
