"""Answers a lack of memory by computing a batch in more parts."""

import torch

from worker.progress import Reporter
from worker.training_run import Run


def in_more_parts(error: RuntimeError, reporter: Reporter, run: Run, rows: int) -> None:
    """Doubles the parts in which a batch of `rows` is computed, and says so.

    Raises `error` where that is no lack of memory, or nothing is left to be divided.
    """
    position = run.position
    parts = position.accumulation
    short = isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
    if not short or run.devices.count > 1 or 2 * parts > rows:
        raise error
    position.accumulation = 2 * parts
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    reporter.event(
        "warning",
        f"the device's memory does not suffice for {-(-rows // parts)} rows at once: from step "
        f"{position.step} on, a batch is computed in {2 * parts} parts",
        level="warn",
    )
