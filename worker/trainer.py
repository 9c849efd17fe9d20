"""The training story, top to bottom; always in a process of its own, or in one per device.

A step is seeded by the job's seed and its number, and the learning rate is a function of the step, so that a checkpoint
needs no random state and no scheduler: a resumed job ends with the weights of an undisturbed one.
"""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from app.errors import NonFiniteLoss, OutOfMemory
from app.ml.objectives.base import Batch
from worker import checkpoint, diagnosis, pace
from worker.auditing import settle_augmentation
from worker.gradients import Gradients
from worker.optimizer import Weights
from worker.preparation import Run, prepare
from worker.progress import Reporter, Stopped
from worker.publication import publish
from worker.solving import solve
from worker.validation import validation_of

ENOUGH_TO_CHOOSE = 100
"""Validation rows below which scores are noise: then the whole schedule is trained and its last weights are kept."""
REPORT_SECONDS = 0.5
SMALLER_RATE = 0.1
"""Factor on the learning rate after the loss was no number for the first time."""


def run(reporter: Reporter) -> None:
    """Trains the job's network and publishes it.

    Raises Stopped when it saved and left, NonFiniteLoss, OutOfMemory, and whatever is wrong with the spec or the data.
    """
    try:
        training = prepare(reporter)
        if training.spec.objective.solved:
            if training.devices.first:
                solve(reporter, training)
        else:
            settle_augmentation(reporter, training)
            Trainer(reporter, training).train()
        if training.devices.first:
            publish(reporter, training)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the device's memory did not suffice: {error}; try a smaller batch_size") from error


class Trainer:
    """Moves a run's weights from its position to the end of its schedule."""

    def __init__(self, reporter: Reporter, run: Run) -> None:
        self.reporter, self.run = reporter, run
        self.network, self.position, self.training = run.network, run.position, run.spec.training
        self.loader = run.drawn(self.training.batch_size)
        rows = self.training.batch_size if run.spec.objective.tells_words else max(1024, self.training.batch_size)
        self.validation = validation_of(run, rows)
        if self.training.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = Weights(self.network, self.training)
        self.gradients = Gradients(self.network, run.device, run.devices, run.autocast)
        self.writer = checkpoint.Writer(reporter)
        self.best: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.count, self.leaving = 0, False
        if run.tensors:
            self.restore(run.tensors)
        else:
            pace.plan(reporter, run, self.weights, self.try_step, self.loader, self.validation)
        self.validate_every = pace.validation_interval(self.position.total_steps, self.loader.steps_per_epoch)
        self._begun = self._saved = self._reported = time.monotonic()
        self._begun_step, self._elapsed_before = self.position.step, self.position.elapsed_seconds

    def train(self) -> None:
        """Steps to the end of the schedule, or until validation stops improving; leaves the best weights in place."""
        if self.position.step == 0:
            if self.validation.rows < ENOUGH_TO_CHOOSE:
                self.reporter.event(
                    "message",
                    f"{self.validation.rows} validation rows are too few to choose the best weights by: "
                    "the whole schedule is trained and the last weights are kept",
                )
            self.save()
        self.report()
        while not self.done():
            try:
                self.train_epoch()
            except NonFiniteLoss as error:
                self.go_back(error)
        self.save()
        self.writer.flush()
        self.report()
        self.weights.release()
        self.network.load_state_dict(self.best)

    def train_epoch(self) -> None:
        """What is left of the position's epoch, or less when the training is done before."""
        position = self.position
        for batch in self.batches():
            self.train_step(batch)
            position.step += 1
            if position.step % self.validate_every == 0 or position.step == position.total_steps:
                self.validate()
            self.keep_house()
            if self.done():
                return

    def done(self) -> bool:
        """True at the end of the schedule, or when validation stopped improving."""
        return self.stopped_early() or self.position.step >= self.position.total_steps

    def stopped_early(self) -> bool:
        """True when patience is used up; the schedule's own end counts as no early stop."""
        stopping = self.training.early_stopping
        return (
            stopping is not None
            and self.position.stale >= stopping.patience
            and self.position.step < self.position.total_steps
        )

    def batches(self) -> Iterator[Batch]:
        """What is left of the position's epoch."""
        epoch, start = divmod(self.position.step, self.loader.steps_per_epoch)
        return self.loader.epoch(epoch, start)

    def train_step(self, batch: Batch) -> None:
        """One update of the weights."""
        position = self.position
        while True:
            self.weights.clear()
            try:
                self.forward_backward_step(batch)
                break
            except RuntimeError as error:
                self.halve(error, batch)
        self.weights.step(position.step, position.total_steps, position.rate_scale)
        self.network.after_step(position.step + 1, position.total_steps)

    def forward_backward_step(self, batch: Batch) -> None:
        """Gradients of the mean loss over the batch, on all devices together."""
        loss = self.gradients.add(self.run.augment(batch.to(self.run.device)), self.position.accumulation)
        sums, count = {"loss": loss.sum.detach(), **loss.parts}, loss.count
        if self.run.devices.count > 1:
            sums, count = self.exchange(sums, count)
        if count != len(batch.rows):
            self.weights.gradient.mul_(len(batch.rows) / count)
        self.sums |= {name: self.sums[name] + value if name in self.sums else value for name, value in sums.items()}
        self.count += count

    def exchange(self, sums: dict[str, Tensor], count: int) -> tuple[dict[str, Tensor], int]:
        """Adds up what all devices have, in one go: gradients, sums, counts, and whether one was asked to leave."""
        own = [torch.tensor(float(count)), torch.tensor(float(self.reporter.stop.is_set())), *sums.values()]
        message = self.weights.message[: len(own)]
        message.copy_(torch.stack([number.to(message).reshape(()) for number in own]))
        self.run.devices.add(self.weights.together)
        self.leaving = bool(message[1] > 0)
        if not message[2].isfinite():
            raise self.not_finite(float(message[2]))
        return dict(zip(sums, message[2:].clone(), strict=True)), int(message[0])

    def validate(self) -> None:
        """Scores the validation split, keeps the best weights, stops when patience is used up."""
        position = self.position
        losses = self.losses()
        self.weights.swap()
        self.judge(losses)
        self.weights.swap()
        self.sums, self.count = {}, 0
        if self.stopped_early():
            watched = self.run.spec.objective.watch[0]
            self.reporter.event(
                "message",
                f"stopped early at step {position.step}: {watched} has not improved since step {position.best_step}",
            )

    def judge(self, losses: dict[str, float]) -> None:
        """Scores the weights in place; keeps them if they are the best ones; says what goes wrong."""
        position = self.position
        scores = self.validation.score(self.network)
        figures, found = diagnosis.of_embeddings(self.validation.embeddings(self.network))
        epoch = position.step / self.loader.steps_per_epoch
        self.reporter.metrics(step=position.step, epoch=epoch, split="train", values=losses)
        self.reporter.metrics(step=position.step, epoch=epoch, split="validation", values=scores | figures)
        for domain, values in self.validation.domains.items():
            self.reporter.metrics(step=position.step, epoch=epoch, split=f"validation:{domain}", values=values)
        position.validations += 1
        position.metrics = {f"train_{k}": v for k, v in losses.items()} | {
            f"validation_{k}": v for k, v in scores.items()
        }
        watched, more = self.run.spec.objective.watch
        (value,) = self.run.devices.agree(scores[watched])
        better = position.best_value is None or (value > position.best_value if more else value < position.best_value)
        if better or self.validation.rows < ENOUGH_TO_CHOOSE:
            position.best_value, position.best_step, position.stale = value, position.step, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        else:
            position.stale += 1
        position.curves["train"].append(losses["loss"])
        position.curves["validation"].append(scores["loss"])
        ended = position.step == position.total_steps
        self.tell(found + diagnosis.of_curves(position.curves["train"], position.curves["validation"], ended=ended))

    def tell(self, found: list[diagnosis.Finding]) -> None:
        """Warns of what goes wrong, of everything once."""
        for finding in found:
            if finding.name not in self.position.told:
                self.position.told.append(finding.name)
                self.reporter.event("warning", finding.message, level="warn", data={"finding": finding.name})

    def keep_house(self) -> None:
        """Between two steps: reports, saves when it is time, and leaves when asked to."""
        now = time.monotonic()
        if self.leaving or (self.run.devices.count == 1 and self.reporter.stop.is_set()):
            self.save()
            self.writer.flush()
            self.report()
            raise Stopped
        if now - self._saved >= self.training.checkpoint_seconds:
            self.save()
        if now - self._reported >= REPORT_SECONDS:
            self.report()

    def save(self) -> None:
        """Hands a checkpoint of finite weights to its writer."""
        if not self.run.devices.first:
            return
        self.losses()
        if not self.weights.values.isfinite().all():
            raise self.not_finite(math.nan)
        position = self.position
        position.elapsed_seconds = self._elapsed_before + time.monotonic() - self._begun
        tensors = checkpoint.prefixed("network", self.network.state_dict())
        tensors |= checkpoint.prefixed("best", self.best) | checkpoint.optimizer_tensors(self.weights.optimizer)
        tensors |= checkpoint.prefixed("sums", self.sums)
        position.count = self.count
        if self.weights.average is not None:
            tensors["average.weights"] = self.weights.average
        self.writer.save(checkpoint.State(position, tensors))
        self._saved = time.monotonic()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Puts a checkpoint's tensors in place."""
        self.weights.values.zero_()  # also what lies between the tensors, where no number may be left that is none
        self.network.load_state_dict(checkpoint.under("network", tensors))
        checkpoint.load_optimizer(self.weights.optimizer, tensors)
        if self.weights.average is not None:
            self.weights.average.copy_(tensors["average.weights"])
        self.best = checkpoint.under("best", tensors)
        self.sums = {name: value.to(self.run.device) for name, value in checkpoint.under("sums", tensors).items()}
        self.count = self.position.count
        self.network.train()

    def go_back(self, error: NonFiniteLoss) -> None:
        """Returns to the newest checkpoint, which is finite, with a smaller rate; the second time, gives up."""
        self.writer.flush()
        self.run.devices.agree(self.position.step)  # all read what the first one has written
        saved = checkpoint.newest(self.reporter) if self.position.rate_scale == 1.0 else None
        if saved is None:
            raise error
        self.position = self.run.position = saved.position
        self.restore(saved.tensors)
        self.position.rate_scale = SMALLER_RATE
        self.reporter.event(
            "warning",
            f"{error.message}; goes on from step {self.position.step} with {SMALLER_RATE:g} times the learning rate",
            level="warn",
        )
        self.save()

    def halve(self, error: RuntimeError, batch: Batch) -> None:
        """Answers a lack of memory by computing batches in twice as many parts; raises `error` where that is none."""
        parts = self.position.accumulation
        short = isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
        if not short or self.run.devices.count > 1 or 2 * parts > len(batch.rows):
            raise error
        self.position.accumulation = 2 * parts
        if self.run.device.type == "cuda":
            torch.cuda.empty_cache()
        self.reporter.event(
            "warning",
            f"the device's memory does not suffice for {-(-len(batch.rows) // parts)} rows at once: from step "
            f"{self.position.step} on, a batch is computed in {2 * parts} parts",
            level="warn",
        )

    def try_step(self, batch: Batch) -> None:
        """A step that is taken back: how long it takes is what counts."""
        self.weights.clear()
        self.forward_backward_step(batch)
        self.weights.step(0, 1)
        self.sums, self.count = {}, 0

    def losses(self) -> dict[str, float]:
        """Mean training loss and its parts since the last validation, or the last ones known.

        Raises NonFiniteLoss: then no later weights may be kept.
        """
        if not self.count:
            known = {k.removeprefix("train_"): v for k, v in self.position.metrics.items() if k.startswith("train_")}
            return known or {"loss": 0.0}
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        if not math.isfinite(means["loss"]):
            raise self.not_finite(means["loss"])
        return means

    def not_finite(self, loss: float) -> NonFiniteLoss:
        """What became of the loss, and where."""
        spoiled = [name for name, weight in self.network.named_parameters() if not weight.isfinite().all()]
        where = f", and so did weights, {spoiled[0]!r} first" if spoiled else ""
        return NonFiniteLoss(
            f"the training loss became {loss} by step {self.position.step}{where}; "
            f"try a learning_rate below {self.position.rate_scale * self.training.learning_rate:g}"
        )

    def report(self) -> None:
        """Tells how far the job is."""
        if not self.run.devices.first:
            return
        position = self.position
        elapsed = time.monotonic() - self._begun
        steps = position.step - self._begun_step
        left = position.total_steps - position.step
        self.reporter.progress(
            {
                "percentage_done": 100.0
                if self.stopped_early()
                else round(100 * position.step / position.total_steps, 2),
                "epoch": position.step // self.loader.steps_per_epoch,
                "max_epoch": -(-position.total_steps // self.loader.steps_per_epoch),
                "step": position.step,
                "max_steps": position.total_steps,
                "elapsed_time": round(self._elapsed_before + elapsed, 3),
                "estimated_remaining_seconds": round(left * elapsed / steps, 3) if steps > 0 else None,
                "samples_per_second": round(steps * self.training.batch_size / elapsed, 1) if steps > 0 else None,
                "best_step": position.best_step,
            },
            {f"train_{name}": value for name, value in self.losses().items()}
            | {k: v for k, v in position.metrics.items() if not k.startswith("train_")},
        )
        self._reported = time.monotonic()
