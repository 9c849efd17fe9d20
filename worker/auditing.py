"""Tries the augmentation that nobody asked for on the job's own rows, before the first step."""

from app.ml.augmentations.none import Nothing
from app.ml.resolving.augmenting import shown
from app.registry import fenced, jobs
from worker.audit import audit, rows_for
from worker.progress import Reporter
from worker.training_run import Run


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
