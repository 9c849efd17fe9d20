"""Says in words what goes wrong with a training, from its curves and its embeddings, and what to try. Knows no network.

Rules compare differences with how far a loss has come, so that its unit does not matter and, but for what counts as
slight, neither does its sign.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from app.ml.tensors.threads import computing_with
from worker.evaluation import geometry

ENOUGH_VALIDATIONS = 5
WORSE = 0.1
"""Share of its progress that a loss must lose again before it counts as rising."""
SLIGHT = 0.1
"""Share of itself by which a loss may rise without diverging: the head of a graft is solved before the first step, and
what a training then does to it may be as small as the noise of its batches."""
LOST, LITTLE = 10.0, 0.1
"""Times itself by which a loss was higher on the way, and the share of itself by which it fell in the end: what it had
before the first step was lost on the way, and there is nothing instead."""
IN_A_ROW = 3
STILL_FALLING = 0.3
"""Share of all progress made in the second half of the schedule, by the rates of its steps, from which it counts as
unfinished: a loss that falls evenly makes half of it there, one that comes near its end by e^-2 a quarter."""
COLLAPSED_RANK, COLLAPSED_SHARE = 2.0, 0.5
ENOUGH_ROWS = 64


@dataclass(frozen=True)
class Finding:
    """What goes wrong, by a name for programs and in words for people."""

    name: str
    message: str


def of_curves(
    train: Sequence[float],
    validation: Sequence[float],
    *,
    began: float | None = None,
    rates: Sequence[float] = (),
    solved: bool = False,
    ended: bool = False,
    kept: str = "best",
) -> list[Finding]:
    """Judges losses at the same validations, oldest first.

    `began` is the validation loss before the first step, that of a solution where `solved`; `rates` are learning rates
    of the steps before each validation where they differ; `ended` when no step follows. `kept` says which weights will
    be published.

    What a validation loss loses while rates are high often comes back when they fall: until the end, a training
    overfits only where all progress is lost again, and one that began well diverges only where its loss has doubled.
    Steps that never better a solution are none of these: the solution is the best there is.
    """
    if len(validation) < ENOUGH_VALIDATIONS:
        return []
    best = min(validation)
    recent = validation[-IN_A_ROW:]
    fallen, harm, was = "", 0.0, 0.0
    rises = train[-1] > train[0] and min(train[-IN_A_ROW:]) > train[0]
    solution = began if solved else None
    if solution is not None and rises and min(recent) - solution > abs(solution):
        fallen = f"the validation loss is {validation[-1]:.4g} after {solution:.4g} before the first step"
        harm, was = min(recent) - solution, solution
    elif solution is not None and solution <= best and kept == "best":
        return []
    elif solution is None and rises:
        fallen = f"the training loss is {train[-1]:.4g} after {train[0]:.4g} at the first validation"
        harm, was = train[-1] - train[0], train[0]
    elif began is not None and min(best, *train) > began:
        fallen = f"the validation loss was {began:.4g} before the first step and never better than {best:.4g} since"
        harm, was = min(best, *train) - began, began
        if not ended and harm <= abs(was):
            return []
    highest = max(*train, *validation)
    if ended and began is not None and highest > LOST * abs(began) and began - best < LITTLE * abs(began):
        fallen = f"the loss was {began:.4g} before the first step, {highest:.4g} in between, and {best:.4g} at best"
        harm, was = highest - began, began
    if fallen and harm <= SLIGHT * abs(was):
        advice = "what the model knew before is as good; try a smaller learning_rate, or more data"
        return [Finding("stalls", f"{fallen}: the training adds nothing; {advice}")] if ended else []
    if fallen:
        advice = "try a smaller learning_rate, a longer warmup or a smaller clip_norm"
        return [Finding("diverges", f"{fallen}: the training diverges; {advice}")]
    first = solution if solution is not None else validation[0] if began is None else max(began, validation[0])
    come = first - best if first > best else train[0] - train[-1]
    if train[-1] < train[validation.index(best)] and min(recent) > best + (WORSE if ended else 1.0) * come:
        return [
            Finding(
                "overfits",
                f"the validation loss is {validation[-1]:.4g} after a best of {best:.4g}, and the training loss still "
                f"falls: the network overfits; its {kept} weights are kept. Try more data, augmentation, dropout, "
                "more weight_decay or a smaller network",
            )
        ]
    half = validation[_half(rates or [1.0] * len(validation))]
    progress = (validation[0] if began is None else began) - best
    if ended and progress > 0 and validation[-1] == best and half - best > STILL_FALLING * progress:
        return [
            Finding(
                "underfits",
                f"the validation loss fell from {half:.4g} to {best:.4g} in the second half of the schedule, as evenly "
                "as before: the network could learn more; try more epochs, a higher learning_rate or a larger network",
            )
        ]
    return []


def _half(rates: Sequence[float]) -> int:
    """Number of the validation by which half of all rates are spent."""
    spent = list(itertools.accumulate(rates))
    return next(number for number, sum_so_far in enumerate(spent) if 2 * sum_so_far >= spent[-1])


def dead(rows: Tensor) -> float:
    """Share of the numbers of rows [N, W] that hardly vary beside the one that varies most."""
    spread = rows.double().std(0)
    return float((spread <= 1e-4 * spread.max()).double().mean())


def of_embeddings(rows: Tensor) -> tuple[dict[str, float], list[Finding]]:
    """Figures of embeddings [N, W] of different rows, and whether they collapse."""
    if len(rows) < ENOUGH_ROWS or rows.shape[1] < 2:
        return {}, []
    centred = rows - rows.mean(0)
    with computing_with(1):  # several threads take longer for so little, and many times longer beside other programs
        rank = geometry.effective_rank(centred) if centred.any() else 0.0  # 0 when all rows are equal
    idle = dead(rows)
    figures = {"effective_rank": rank, "dead_share": idle}
    width = rows.shape[1]
    if rank >= min(COLLAPSED_RANK, width / 2) and idle < COLLAPSED_SHARE:
        return figures, []
    message = (
        f"embeddings of {width} numbers spread in {rank:.1f} directions, and {idle:.0%} of the numbers hardly vary: "
        "they collapse; try a smaller learning_rate, fewer dimensions, another objective or stronger augmentation"
    )
    return figures, [Finding("collapses", message)]


def of_baselines(metrics: Mapping[str, Any], metric: str, *, more: bool) -> list[Finding]:
    """Whether a simple answer is better than the network by the metric that chose its weights.

    `metrics` are those of the network on held-out rows, under `baselines` those of simple answers.
    """
    known = {name: each[metric] for name, each in metrics["baselines"].items() if metric in each}
    if not known or metric not in metrics:
        return []
    best = (max if more else min)(known, key=lambda name: known[name])
    if metrics[metric] >= known[best] if more else metrics[metric] <= known[best]:
        return []
    return [
        Finding(
            "outdone",
            f"{metric} is {metrics[metric]:.3g} on the {metrics['split']} rows, and the simple answer {best!r} has "
            f"{known[best]:.3g}: the model is worth less than that. Try more data, more time (training.max_seconds) or "
            "a base_model",
        )
    ]
