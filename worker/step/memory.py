"""The memory of a step: kept for the next one, and where there is too little, a batch is computed in more parts."""

import torch

from app import heap_trimming
from worker.progress import Reporter
from worker.training_run import Run

LARGEST_BLOCK, MOST_KEPT = 256 * 2**20, 2**30
"""Bytes of a tensor that is allocated from the heap, and of the heap's free end. A step frees as much as the next one
asks for: of fresh pages, which the kernel clears, a step on 128 pictures of 64x64 in fp32 took 1.2 times as long."""


def keep_freed() -> None:
    """Has this process keep what large tensors have freed."""
    heap_trimming.keep_freed(LARGEST_BLOCK, MOST_KEPT)


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
