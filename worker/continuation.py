"""What a model that goes on from a base model kept of what that one knew, and what it learned: scores before and after.

Both networks are judged by the protocol of worker/evaluate.py, on the held-out rows of the datasets that the base model
learned from and of those that this job learned from.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.dataset import open_dataset
from app.errors import DoesNotFit, Invalid
from app.ml.spec import TrainSpec
from app.registry import objects, tables
from worker.domains import Domain
from worker.evaluate import evaluate
from worker.preparation import Run
from worker.progress import Reporter


def before_and_after(reporter: Reporter, run: Run, judged: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model": "name:3", "domains": {"ds-…": {"name", "learned_by", "before": {…}, "after": {…}}}, "gone": […]}`.

    `learned_by` says who learned from the dataset: `base`, `job` or both. `gone` are datasets of the base model that no
    longer exist, or cannot be judged any more; an event says why. `judged` are the metrics of the run by dataset.
    """
    assert run.base is not None, "there is a base model; this is a bug"
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
            view = replace(run, dataset=domain.dataset, domains=[domain])
            after = judged[dataset_id] if dataset_id in ours else evaluate_fitting(view)
            before = evaluate_fitting(_of_base(view))
        except Invalid as error:
            gone.append(dataset_id)
            reporter.event(
                "warning",
                f"how {reference} did on its dataset {dataset_id} before and after cannot be told: {error.message}",
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


def evaluate_fitting(view: Run) -> dict[str, Any]:
    """The figures of the protocol. Raises Invalid where the dataset is not what the network was made for."""
    for role, part in view.spec.roles.items():
        facts = view.dataset.profile.get(role)
        if facts is None:
            raise DoesNotFit(f"it has no {role!r}, and the network was made for one")
        wide = part.modality.layout == "vector" and list(facts.get("shape", ())) != part.shape
        if facts["modality"] != part.modality.name or wide or part.modality.completed(facts) != part.modality:
            raise DoesNotFit(f"its {role!r} is not what the network was made for")
    return evaluate(view)


def _of_base(view: Run) -> Run:
    """The same rows, for the base model's network."""
    assert view.base_model is not None, "there is a base model; this is a bug"
    spec = TrainSpec.model_validate({**view.spec.model_dump(mode="json"), **view.base_model.spec})
    return replace(view, spec=spec, network=view.base_model.network, fitted=view.base_model.roles)


def _figures(judged: Mapping[str, Any]) -> dict[str, Any]:
    """What is a number by itself."""
    apart = ("share", "protocol", "rows", "rows_learned")
    return {name: value for name, value in judged.items() if isinstance(value, int | float) and name not in apart}
