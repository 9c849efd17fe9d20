"""The story of an objective that is solved: its weights are computed from the training split in one go, without steps.

It computes on the CPU. A solving that was interrupted begins again, with what the modalities had learned, and ends with
the same weights; one that had ended is not done twice.
"""

import time

import torch

from app.errors import NonFiniteLoss
from app.ml.objectives.base import Solved
from worker import checkpoint
from worker.progress import Reporter
from worker.training_run import Run

REPORT_SECONDS = 0.5
VALIDATION_ROWS = 20_000


def solve(reporter: Reporter, run: Run) -> None:
    """Fills the weights of the run's network.

    Raises Stopped when asked to leave, NonFiniteLoss, and what the objective raises for data without a solution.
    """
    network, position = run.network.cpu(), run.position
    assert isinstance(network, Solved), "a solved objective builds a network that can be solved: this is a bug"
    telling = Telling(reporter)
    if position.step:
        network.load_state_dict(checkpoint.under("network", run.tensors))
        return
    position.total_steps = 1
    save(reporter, run)
    torch.manual_seed(run.spec.training.seed)
    size = run.spec.training.batch_size
    loader = run.loader("train", size)
    network.solve(loader.in_order, telling)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NonFiniteLoss(f"the computed weights {name!r} are not finite; look for extreme values in the data")
    with torch.inference_mode():
        scores = network.eval().metrics(run.loader("validation", size).in_order(VALIDATION_ROWS))
    reporter.metrics(step=1, epoch=1.0, splits={"validation": scores})
    position.metrics = {f"validation_{name}": value for name, value in scores.items()}
    position.step = position.best_step = 1
    position.elapsed_seconds = time.monotonic() - telling.begun
    save(reporter, run)
    telling.report(1.0)


def save(reporter: Reporter, run: Run) -> None:
    """A checkpoint: before solving for what the modalities learned, after it for the weights."""
    tensors = checkpoint.prefixed("network", run.network.state_dict())
    state = checkpoint.State(run.position, tensors)
    reporter.when_there_is_room(lambda: checkpoint.save(reporter, state))


class Telling:
    """Called with the share that is done: leaves when asked to, and reports now and then."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.begun = self.reported = time.monotonic()

    def __call__(self, share: float) -> None:
        self.reporter.leave_if_asked()
        if time.monotonic() - self.reported >= REPORT_SECONDS:
            self.report(share)

    def report(self, share: float) -> None:
        self.reported = time.monotonic()
        elapsed, done = self.reported - self.begun, int(share >= 1)
        self.reporter.progress(
            {
                "percentage_done": round(100 * share, 2),
                "epoch": done,
                "max_epoch": 1,
                "step": done,
                "max_steps": 1,
                "elapsed_time": round(elapsed, 3),
                "estimated_remaining_seconds": round(elapsed * (1 - share) / share, 3) if share > 0 else None,
                "samples_per_second": None,
                "best_step": done or None,
            }
        )
