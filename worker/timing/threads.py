"""With how many of torch's threads a job trains, from what the products of a step cost. Settled once per job."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from app.ml.networks.descent import FEWEST_ROWS, LARGEST
from app.ml.networks.team import Team
from app.ml.runtime.threads import SMALL_PRODUCT, threads_for
from worker.progress import Reporter
from worker.timing.speed import rounding_is_weighed
from worker.training_run import Run

FEW_ROWS = 8
"""Rows whose products are counted: those of a batch are so many times larger, and memory may not hold them at once."""


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """In this thread, and in those that it starts, numbers below 1.2e-38 are zero.

    What Adam remembers of a unit that died comes there after some hundred steps and stays; some processors take a
    hundred times as long for such a number.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def settle_threads(reporter: Reporter, run: Run) -> None:
    """One thread where a step shares too little work, and says so; a resumed job goes on with those it began with.

    Threads meet at the end of every product. Where one costs less than the meeting they slow each other down, and many
    times so on cores that somebody else uses, where the one that is not running is waited for.
    """
    training = run.spec.training
    if run.device.type != "cpu":
        return
    batch = next(run.some_rows(FEW_ROWS))
    run.network.eval()
    with torch.no_grad(), Products() as products:
        run.network.loss(run.augment(batch))
    run.network.train()
    run.product = products.mean * training.batch_size // len(batch.rows)
    threads = threads_for(run.product, SMALL_PRODUCT)
    if threads < run.position.threads and not run.tensors:
        run.position.threads = threads
        reporter.event(
            "message",
            f"computes with {threads} thread: a step's matrix products have "
            f"{run.product / 1e6:.2g} million multiplications each, too few to be shared",
        )


def team_for(run: Run) -> Team | None:
    """The job's threads, where each takes rows of its own through the network; None where they share its operations."""
    training, threads = run.spec.training, run.position.threads
    if not run.network.divides or training.compile or run.device.type != "cpu":
        return None
    if training.precision == "bf16" or rounding_is_weighed(run):
        return None
    rows = training.batch_size // (training.accumulation * run.devices.count)
    return Team(threads) if threads == 1 or (threads <= LARGEST and rows >= threads * FEWEST_ROWS) else None


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the matrix products and convolutions that are computed meanwhile, and their multiplications."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Else torch imports its whole compiler at the first operation: most of a short job's time."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.number, self.multiplications = 0, 0

    @property
    def mean(self) -> int:
        """Multiplications of one of them."""
        return self.multiplications // max(1, self.number)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        cost = flop_registry.get(getattr(func, "overloadpacket", None))
        if cost is not None:
            self.number += 1
            self.multiplications += cost(*args, **given, out_val=out) // 2  # counted are additions, too
        return out
