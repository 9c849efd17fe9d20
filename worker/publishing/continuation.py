"""What a model that goes on from a base model kept of what that one knew, and what it learned: scores before and after.

Both networks are evaluated by worker/evaluation/protocol.py on the held-out rows of the datasets that the base model
learned from, and of those that this job learned from.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.dataset import open_dataset
from app.errors import Invalid
from app.ml.jobs.network import NetworkSpec
from app.registry import objects, tables
from worker.data.domains import Domain
from worker.evaluation.protocol import evaluate_checked
from worker.progress import Reporter
from worker.training_run import Run


def before_and_after(reporter: Reporter, run: Run, evaluated: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model": "name:3", "domains": {"ds-…": {"name", "learned_by", "before": {…}, "after": {…}}}, "gone": […]}`.

    `learned_by` says who learned from the dataset: `base`, `job` or both. `gone` are datasets of the base model that no
    longer exist, or cannot be evaluated on any more; an event says why. `evaluated` are the run's metrics by dataset.
    """
    assert run.base is not None, "there is a base model; this is a bug"
    assert run.base_model is not None, "it is loaded; this is a bug"
    begun_with = NetworkSpec.model_validate(run.base_model.spec)
    ours = {domain.id for domain in run.domains}
    theirs = {each["id"] for each in run.base.datasets}
    reference = f"{run.base.model.name}:{run.base.number}"
    found: dict[str, Any] = {}
    gone: list[str] = []
    for dataset_id in sorted(theirs | ours, key=lambda each: each in ours):
        try:
            domain = next((each for each in run.domains if each.id == dataset_id), None) or _opened(
                reporter, dataset_id
            )
            subject = replace(run.subject, dataset=domain.dataset)
            after = evaluated[dataset_id] if dataset_id in ours else evaluate_checked(subject)
            before = evaluate_checked(
                replace(subject, spec=begun_with, network=run.base_model.network, fitted=run.base_model.roles)
            )
        except Invalid as error:
            gone += [dataset_id] if dataset_id in theirs else []
            reporter.event(
                "warning",
                f"how {reference} does on dataset {dataset_id} before and after cannot be told: {error.message}",
                level="warn",
            )
            continue
        learned_by = [who for who, those in (("base", theirs), ("job", ours)) if dataset_id in those]
        found[dataset_id] = {
            "name": domain.name,
            "learned_by": learned_by,
            "before": _figures(before),
            "after": _figures(after),
        }
    return {"model": reference, "domains": found, "gone": gone}


def _opened(reporter: Reporter, dataset_id: str) -> Domain:
    """A dataset that the job itself does not use. Raises Invalid when it is gone."""
    with reporter.database.reading() as session:
        dataset = session.get(tables.Dataset, dataset_id)
        if dataset is None or dataset.status != "ready":
            raise Invalid("it no longer exists")
        held = objects.held(session, dataset_id)
    files = {name: reporter.storage.local(parts[0]) for name, parts in held.items()}
    return Domain(dataset.id, dataset.name, dataset.fingerprint, open_dataset(files))


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What is a number by itself."""
    apart = ("share", "protocol", "rows", "rows_learned")
    return {name: value for name, value in metrics.items() if isinstance(value, int | float) and name not in apart}
