"""Tries the default augmentation on the job's own rows, before the first step, and leaves out what harms them.

Two figures of a sample tell whether rows stay what they are, by Euclidean distances of encoded rows. A change that
yields no row of the same kind, as mirroring does to digits, takes rows away from all others: how far is the nearest
other row, of changed rows by that of unchanged ones? A change that is too strong makes a row another one: what share
of the changed rows is still nearest to its own original?
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from app.ml.augmentations.base import Augmentation, augment
from app.ml.augmentations.none import Nothing
from app.ml.modalities.base import Fitted
from app.ml.resolving.augmenting import shown
from app.ml.tensors.batch import Batch
from app.registry import fenced, jobs
from worker.progress import Reporter
from worker.training_run import Run

ROWS = 500
NUMBERS = 2**24
"""Of a sample at most."""
FEWEST = 50
"""Rows below which the figures would be noise."""
FARTHER = 1.1
"""Times as far from the nearest other row as unchanged rows: up to this, a change is taken to yield such rows again."""
OWN = 1 / 3
"""Share of changed rows that has to be nearest to its own original."""
MILDER = 3
"""Times that strengths are halved before an augmentation is given up."""


def settle_augmentation(reporter: Reporter, run: Run) -> None:
    """Takes out of a default augmentation what harms rows like those of the training split, and tells the figures.

    What was asked for by name or by key is used as it is, and a resumed job goes on with what it began with. Boxes go
    with their pictures, so that changed ones are as true as the others: they are not tried.
    """
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
    asked = job.request.get("augmentation", {"name": "auto"})
    if run.tensors or asked != {"name": "auto"} or run.spec.augmentation.name == "none":
        return
    if any(each.shape.layout == "boxes" for each in run.fitted.values()):
        return
    rows = rows_for(run.fitted["input"].shape.count)
    batch = next(iter(run.loader("train", max(1, rows)).in_order(max(1, rows))))
    if not rows or len(batch.rows) < rows_for(1) // 10:
        findings = ["the rows are too few or too large to be tried, so the usual changes are made"]
    else:
        found, findings = audit(run.spec.augmentation, batch, run.fitted, seed=run.spec.training.seed)
        run.spec = run.spec.model_copy(update={"augmentation": found or Nothing()})
    spec = run.position.spec = run.spec.model_dump(mode="json")
    if not run.devices.first:
        return
    value = shown(run.spec.augmentation)
    reporter.event("message", f"augmentation tried on {len(batch.rows)} rows: {'; '.join(findings)}", data=value)
    choice = {"key": "augmentation", "value": value, "reason": "; ".join(findings)}
    choices = [each for each in job.choices or [] if each["key"] != "augmentation"]
    with reporter.database.session() as session:
        fenced.set_spec(session, reporter.job_id, reporter.token, spec, [*choices, choice])


def rows_for(width: int) -> int:
    """How many rows of `width` numbers an audit takes; 0 where so few would say nothing and more cost too much."""
    rows = min(ROWS, NUMBERS // width)
    return rows if rows >= FEWEST else 0


def audit(
    augmentation: Augmentation, batch: Batch, fitted: Mapping[str, Fitted], *, seed: int
) -> tuple[Augmentation | None, list[str]]:
    """The augmentation without what harms these rows, None where nothing is left, and the findings in words."""
    findings: list[str] = []
    rows = batch.roles["input"]["values"].flatten(1).float()
    usual = others(rows, rows).median()
    for key in augmentation.doubtful:
        if getattr(augmentation, key):
            alone = type(augmentation).model_validate({"name": augmentation.name, key: 1.0})
            farther = float(others(_changed(alone, batch, fitted, seed), rows).median() / usual.clamp(min=1e-12))
            kept = farther <= FARTHER
            findings.append(
                f"{key}: changed rows lie {farther:.2f} times as far from the nearest other row as unchanged ones "
                f"({FARTHER:g} at most): {'kept' if kept else 'left out'}"
            )
            augmentation = augmentation if kept else augmentation.without(key)
    for times in range(MILDER + 1):
        share = own(_changed(augmentation, batch, fitted, seed), rows)
        fine = share >= OWN
        findings.append(
            f"{share:.0%} of the changed rows are nearest to their own original (at least {OWN:.0%}; by chance "
            f"{1 / len(rows):.1%})" + ("" if fine else ": strengths are halved" if times < MILDER else ": given up")
        )
        if fine:
            return augmentation, findings
        augmentation = augmentation.milder()
    return None, findings


def others(changed: Tensor, rows: Tensor) -> Tensor:
    """[N]: how far each changed row is from the nearest of `rows` [N, W] that is not its own."""
    return torch.cdist(changed, rows).fill_diagonal_(torch.inf).amin(1)


def own(changed: Tensor, rows: Tensor) -> float:
    """Share of changed rows whose nearest row is its own, or one as near."""
    distances = torch.cdist(changed, rows)
    return float((distances.diagonal() <= distances.amin(1)).float().mean())


def _changed(augmentation: Augmentation, batch: Batch, fitted: Mapping[str, Fitted], seed: int) -> Tensor:
    changed = augment(augmentation, replace(batch, views=()), fitted, seed=seed)
    return changed.roles["input"]["values"].flatten(1).float()
