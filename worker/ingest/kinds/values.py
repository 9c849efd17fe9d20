"""Judges blocks of raw numbers and makes of them what a dataset holds: float32 for vectors, uint8 for images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.faults import Fault, Faults, shown
from worker.ingest.kinds.statistics import as_written
from worker.ingest.stacks import Origin

LARGEST = float(np.finfo(np.float32).max)
BRIGHTEST = 255
DOUBLE = 8
Mask = NDArray[np.bool_]
Block = NDArray[Any]
PROBLEMS = {
    "non_finite": "{value} is no finite number; an empty cell, NA or an absent key counts as NaN, and what is beyond "
    '1.8e308 as Infinity. Correct it, or ask for cleaning {{"non_finite": "drop"}} or "impute"',
    "overflow": "{value} does not fit float32, whose largest number is 3.4e38",
    "not_a_fraction": "{value} is no pixel: the first pictures have fractions up to 1. Scale this one alike, or "
    "ask for modality vectors",
    "not_a_pixel": "{value} is no pixel: a whole number of 0 to 255. Scale the values, or ask for modality vectors; "
    "fractions of 0 to 1 are scaled here, and those of -1 to 1 where there are three channels or modality is image",
}


def judge(block: Block, kept: Mask, *, image: bool) -> tuple[Mask | None, dict[str, Mask]]:
    """Which values of [n, W] are not finite, and which have another fault, by its code; None where there is nothing.

    Of rows that are not kept, none.
    """
    bad, wrong = _judge(block, image=image)
    if not kept.all():
        bad = bad & kept[:, None] if bad is not None else None
        wrong = {code: mask & kept[:, None] for code, mask in wrong.items()}
    return bad if bad is None or bad.any() else None, wrong


def _judge(block: Block, *, image: bool) -> tuple[Mask | None, dict[str, Mask]]:
    if block.dtype == np.uint8 or block.dtype == np.bool_ or not block.size:
        return None, {}
    real = block.dtype.kind == "f"
    low, high = block.min(), block.max()  # NaN when there is one
    finite = not real or bool(np.isfinite(low) and np.isfinite(high))
    bad = None if finite else ~np.isfinite(block)
    if image:
        whole = not real or bool((np.floor(block) == block).all())
        if finite and whole and low >= 0 and high <= BRIGHTEST:
            return None, {}
        with np.errstate(invalid="ignore"):
            wrong = (block < 0) | (block > BRIGHTEST)
            if real:
                wrong |= np.isfinite(block) & (np.floor(block) != block)
        return bad, {"not_a_pixel": wrong if bad is None else wrong & ~bad}
    if not real or block.itemsize < DOUBLE or (finite and low >= -LARGEST and high <= LARGEST):
        return bad, {}
    with np.errstate(invalid="ignore"):
        large = np.abs(block) > LARGEST
    return bad, {"overflow": large if bad is None else large & ~bad}


def convert(block: Block, *, image: bool) -> Block:
    """Judged rows in the machine's own order and the dataset's type."""
    return np.ascontiguousarray(block, dtype=np.uint8 if image else np.float32)


def refuse(
    code: str, wrong: Mask, block: Block, faults: Faults, origin: Callable[[int, int], Origin], *, dropped: bool
) -> Mask | None:
    """Reports every value in `wrong`, or lists every row [n] that has one as left out, and gives those rows.

    `origin` tells where row and column of the block came from.
    """

    def word(spot: tuple[int, int]) -> Fault:
        row, column = int(spot[0]), int(spot[1])
        value = shown(as_written(block[row, column].item()))
        return origin(row, column).fault(code, PROBLEMS[code].format(value=value))

    if not dropped:
        faults.each(code, np.argwhere(wrong), word, dropped=False)
        return None
    rows = np.asarray(wrong.any(axis=1), dtype=np.bool_)
    faults.each(code, np.flatnonzero(rows), lambda row: word((row, wrong[row].argmax())), dropped=True)
    return rows
