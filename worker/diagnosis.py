"""Says in words what goes wrong with a training, from its curves and its embeddings, and what to try. Knows no network.

Rules compare differences with how far a loss has come since the first validation, so that its unit and its sign do not
matter; where the validation loss has come nowhere, with how far that of training has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ENOUGH_VALIDATIONS = 5
WORSE = 0.1
"""Share of its progress that a loss must lose again before it counts as rising."""
IN_A_ROW = 3
STILL_FALLING = 0.05
"""Share of all progress made in the last fifth of the schedule from which it counts as unfinished."""
COLLAPSED_RANK, COLLAPSED_SHARE = 2.0, 0.5
ENOUGH_ROWS = 64
NAMES = ("overfits", "diverges", "underfits", "collapses")


@dataclass(frozen=True)
class Finding:
    """What goes wrong, by a name for programs and in words for people."""

    name: str
    message: str


def of_curves(train: Sequence[float], validation: Sequence[float], *, ended: bool = False) -> list[Finding]:
    """Judges losses at the same validations, oldest first; `ended` when the schedule has come to its end."""
    if len(validation) < ENOUGH_VALIDATIONS:
        return []
    found: list[Finding] = []
    best = min(validation)
    progress = validation[0] - best
    recent = validation[-IN_A_ROW:]
    falls = train[-1] < train[validation.index(best)]
    if train[-1] > train[0] and min(train[-IN_A_ROW:]) > train[0]:
        found.append(
            Finding(
                "diverges",
                f"the training loss is {train[-1]:.4g} and began at {train[0]:.4g}: it diverges; "
                "try a smaller learning_rate, a longer warmup or a smaller clip_norm",
            )
        )
    elif falls and min(recent) > best + WORSE * (progress or train[0] - train[-1]):
        found.append(
            Finding(
                "overfits",
                f"the validation loss is {validation[-1]:.4g} after a best of {best:.4g}, and the training loss still "
                "falls: the network overfits; its best weights are kept. Try more data, augmentation, dropout, "
                "more weight_decay or a smaller network",
            )
        )
    elif ended and progress > 0 and validation[-1] == best:
        before = validation[-1 - max(1, len(validation) // 5)]
        if before - best > STILL_FALLING * progress:
            found.append(
                Finding(
                    "underfits",
                    f"the validation loss fell from {before:.4g} to {best:.4g} in the last fifth of the schedule: the "
                    "network could learn more; try more epochs, a higher learning_rate or a larger network",
                )
            )
    return found


def effective_rank(rows: Tensor) -> float:
    """In how many directions centred rows [N, W] spread: the exponential of the entropy of their singular values.

    RankMe (Garrido 2022); 0 when all rows are equal.
    """
    strengths = torch.linalg.svdvals((rows - rows.mean(0)).double())
    if not strengths.sum() > 0:
        return 0.0
    shares = strengths / strengths.sum()
    return float((-(shares * shares.clamp(min=1e-30).log()).sum()).exp())


def dead(rows: Tensor) -> float:
    """Share of the numbers of rows [N, W] that hardly vary beside the one that varies most."""
    spread = rows.double().std(0)
    return float((spread <= 1e-4 * spread.max()).double().mean())


def of_embeddings(rows: Tensor) -> tuple[dict[str, float], list[Finding]]:
    """Figures of embeddings [N, W] of different rows, and whether they collapse."""
    if len(rows) < ENOUGH_ROWS or rows.shape[1] < 2:
        return {}, []
    rank, idle = effective_rank(rows), dead(rows)
    figures = {"effective_rank": rank, "dead_share": idle}
    width = rows.shape[1]
    if rank >= min(COLLAPSED_RANK, width / 2) and idle < COLLAPSED_SHARE:
        return figures, []
    message = (
        f"embeddings of {width} numbers spread in {rank:.1f} directions, and {idle:.0%} of the numbers hardly vary: "
        "they collapse; try a smaller learning_rate, fewer dimensions, another objective or stronger augmentation"
    )
    return figures, [Finding("collapses", message)]
