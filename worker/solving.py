"""The story of an objective that is solved: its weights are computed from the training split in one go, without steps.

It computes on the CPU. A solving that was interrupted begins again, with what the modalities had learned, and ends with
the same weights; one that had ended is not done twice.
"""

import time
from collections.abc import Iterator

import torch

from app.errors import NonFiniteLoss
from app.ml.objectives.base import Batch, Solved
from worker import checkpoint
from worker.preparation import Run
from worker.progress import Reporter, Stopped

REPORT_SECONDS = 0.5
VALIDATION_ROWS = 20_000


def solve(reporter: Reporter, run: Run) -> None:
    """Fills the weights of the run's network.

    Raises Stopped when asked to leave, NonFiniteLoss, and what the objective raises for data without a solution.
    """
    network, position = run.network.cpu(), run.position
    assert isinstance(network, Solved), "a solved objective builds a network that can be solved: this is a bug"
    begun = reported = time.monotonic()
    loader = run.loader("train", run.spec.training.batch_size)

    def stream() -> Iterator[Batch]:
        return loader.in_order()

    def tell(share: float) -> None:
        nonlocal reported
        if reporter.stop.is_set():
            raise Stopped
        if time.monotonic() - reported < REPORT_SECONDS:
            return
        reported = time.monotonic()
        elapsed = reported - begun
        reporter.progress(
            {
                "percentage_done": round(100 * share, 2),
                "epoch": 0,
                "max_epoch": 1,
                "step": 0,
                "max_steps": 1,
                "elapsed_time": round(elapsed, 3),
                "estimated_remaining_seconds": round(elapsed * (1 - share) / share, 3) if share > 0 else None,
                "samples_per_second": None,
                "best_step": None,
            }
        )

    if position.step:
        network.load_state_dict(checkpoint.under("network", run.tensors))
        return
    position.total_steps = 1
    checkpoint.save(reporter, checkpoint.State(position, checkpoint.prefixed("network", network.state_dict())))
    torch.manual_seed(run.spec.training.seed)
    network.solve(stream, tell)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NonFiniteLoss(f"the computed weights {name!r} are not finite; look for extreme values in the data")
    with torch.inference_mode():
        network.eval()
        scores = network.metrics(run.loader("validation", run.spec.training.batch_size).in_order(VALIDATION_ROWS))
    reporter.metrics(step=1, epoch=1.0, split="validation", values=scores)
    position.metrics = {f"validation_{name}": value for name, value in scores.items()}
    position.step = position.best_step = 1
    position.elapsed_seconds = time.monotonic() - begun
    checkpoint.save(reporter, checkpoint.State(position, checkpoint.prefixed("network", network.state_dict())))
