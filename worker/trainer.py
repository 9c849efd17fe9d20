"""The training story, top to bottom; always in a process of its own.

A step is seeded by the job's seed and its number, and the learning rate is a function of the step, so that a checkpoint
needs no random state and no scheduler: a resumed job ends with the weights of an undisturbed one.
"""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from app.errors import NonFiniteLoss, OutOfMemory
from app.ml.objectives.base import Batch, Objective
from worker import checkpoint
from worker.loader import Loader
from worker.optimizer import build_optimizer, rate_factor
from worker.preparation import Run, prepare
from worker.progress import Reporter, Stopped
from worker.publication import publish
from worker.solving import solve

VALIDATION_ROWS = 20_000
ENOUGH_TO_CHOOSE = 100
"""Validation rows below which scores are noise: then the whole schedule is trained and its last weights are kept."""
REPORT_SECONDS = 0.5


def run(reporter: Reporter) -> None:
    """Trains the job's network and publishes it.

    Raises Stopped when it saved and left, NonFiniteLoss, OutOfMemory, and whatever is wrong with the spec or the data.
    """
    try:
        training = prepare(reporter)
        if training.spec.objective.solved:
            solve(reporter, training)
        else:
            Trainer(reporter, training).train()
        publish(reporter, training)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the device's memory did not suffice: {error}; try a smaller batch_size") from error


class Trainer:
    """Moves a run's weights from its position to the end of its schedule."""

    def __init__(self, reporter: Reporter, run: Run) -> None:
        self.reporter, self.run = reporter, run
        self.network, self.position, self.training = run.network, run.position, run.spec.training
        self.loader = run.loader("train", self.training.batch_size)
        self.validation = run.loader("validation", max(1024, self.training.batch_size))
        if not self.position.total_steps:
            self.position.total_steps = self.training.epochs * self.loader.steps_per_epoch
        self.validate_every = validation_interval(self.position.total_steps, self.training.epochs, self.loader)
        self.optimizer = build_optimizer(self.network, self.training)
        self.best = checkpoint.under("best", run.tensors)
        if run.tensors:
            self.network.load_state_dict(checkpoint.under("network", run.tensors))
            checkpoint.load_optimizer(self.optimizer, run.tensors)
        self.loss_sum, self.loss_count = torch.zeros((), device=run.device), 0
        self._begun = self._saved = self._reported = time.monotonic()
        self._begun_step, self._elapsed_before = self.position.step, self.position.elapsed_seconds

    def train(self) -> None:
        """Steps to the end of the schedule, or until validation stops improving; leaves the best weights in place."""
        position = self.position
        if position.step == 0:
            if self.validation.rows < ENOUGH_TO_CHOOSE:
                self.reporter.event(
                    "message",
                    f"{self.validation.rows} validation rows are too few to choose the best weights by: "
                    "the whole schedule is trained and the last weights are kept",
                )
            self.save()
        self.report()
        while not self.done():
            for batch in self.batches():
                self.train_step(batch)
                position.step += 1
                if position.step % self.validate_every == 0 or position.step == position.total_steps:
                    self.validate()
                self.keep_house()
                if self.done():
                    break
        self.save()
        self.report()
        self.network.load_state_dict(self.best)

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
        torch.manual_seed(batch.seed)
        factor = rate_factor(self.training, self.position.step, self.position.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        self.forward_backward_step(batch)
        if self.training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.training.clip_norm)
        self.optimizer.step()
        self.network.after_step(self.position.step + 1, self.position.total_steps)

    def forward_backward_step(self, batch: Batch) -> None:
        """Gradients of the mean loss over the batch."""
        batch = self.run.augment(batch.to(self.run.device))
        with self.run.autocast():
            loss = self.network.loss(batch)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        self.loss_sum += loss.sum.detach()
        self.loss_count += loss.count

    def validate(self) -> None:
        """Scores the validation split, keeps the best weights, stops when patience is used up."""
        position = self.position
        train_loss = self.train_loss()
        scores = score(self.network, self.run, self.validation)
        epoch = position.step / self.loader.steps_per_epoch
        self.reporter.metrics(step=position.step, epoch=epoch, split="train", values={"loss": train_loss})
        self.reporter.metrics(step=position.step, epoch=epoch, split="validation", values=scores)
        self.loss_sum.zero_()
        self.loss_count = 0
        position.validations += 1
        position.metrics = {"train_loss": train_loss} | {f"validation_{name}": value for name, value in scores.items()}
        watched, more = self.run.spec.objective.watch
        value = scores[watched]
        better = position.best_value is None or (value > position.best_value if more else value < position.best_value)
        if better or self.validation.rows < ENOUGH_TO_CHOOSE:
            position.best_value, position.best_step, position.stale = value, position.step, 0
            self.best = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
            return
        position.stale += 1
        if self.stopped_early():
            self.reporter.event(
                "message",
                f"stopped early at step {position.step}: {watched} has not improved since step {position.best_step}",
            )

    def keep_house(self) -> None:
        """Between two steps: reports, saves when it is time, and leaves when asked to."""
        now = time.monotonic()
        if self.reporter.stop.is_set():
            self.save()
            self.report()
            raise Stopped
        if now - self._saved >= self.training.checkpoint_seconds:
            self.save()
        if now - self._reported >= REPORT_SECONDS:
            self.report()

    def save(self) -> None:
        """Writes a checkpoint of finite weights only."""
        self.train_loss()
        position = self.position
        position.elapsed_seconds = self._elapsed_before + time.monotonic() - self._begun
        tensors = checkpoint.prefixed("network", self.network.state_dict())
        tensors |= checkpoint.prefixed("best", self.best) | checkpoint.optimizer_tensors(self.optimizer)
        checkpoint.save(self.reporter, checkpoint.State(position, tensors))
        self._saved = time.monotonic()

    def train_loss(self) -> float:
        """Mean training loss since the last validation, or the last one known.

        Raises NonFiniteLoss: then no later weights may be kept.
        """
        if not self.loss_count:
            return self.position.metrics.get("train_loss", 0.0)
        loss = float(self.loss_sum) / self.loss_count
        if not torch.isfinite(self.loss_sum):
            raise NonFiniteLoss(
                f"the training loss became {loss} by step {self.position.step}; "
                f"try a learning_rate below {self.training.learning_rate}"
            )
        return loss

    def report(self) -> None:
        """Tells how far the job is."""
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
                "max_epoch": self.training.epochs,
                "step": position.step,
                "max_steps": position.total_steps,
                "elapsed_time": round(self._elapsed_before + elapsed, 3),
                "estimated_remaining_seconds": round(left * elapsed / steps, 3) if steps else None,
                "samples_per_second": round(steps * self.training.batch_size / elapsed, 1) if steps else None,
                "best_step": position.best_step,
            },
            {"train_loss": self.train_loss()} | {k: v for k, v in position.metrics.items() if k != "train_loss"},
        )
        self._reported = time.monotonic()


def validation_interval(total: int, epochs: int, loader: Loader) -> int:
    """Steps between two validations: an epoch, or more and less of it so that a job has between 10 and 100."""
    if 10 <= epochs <= 100:
        return loader.steps_per_epoch
    return max(1, round(total / min(100, max(10, epochs))))


def score(network: Objective, run: Run, loader: Loader) -> dict[str, float]:
    """Mean loss and the objective's own metrics over a split, at most `VALIDATION_ROWS` rows of it.

    Raises NonFiniteLoss when the loss is not a number.
    """
    network.eval()
    total, count = 0.0, 0
    with torch.inference_mode(), run.autocast():
        for batch in loader.in_order(VALIDATION_ROWS):
            loss = network.loss(run.compare(batch.to(run.device)))
            total, count = total + float(loss.sum), count + loss.count
        mean: Tensor = torch.tensor(total / max(1, count))
        metrics = network.metrics(run.compare(batch.to(run.device)) for batch in loader.in_order(VALIDATION_ROWS))
    network.train()
    if not torch.isfinite(mean):
        raise NonFiniteLoss(f"the validation loss became {float(mean)}; try a smaller learning_rate")
    return {"loss": float(mean), **metrics}
