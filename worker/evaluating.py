"""The handler of an `evaluate` job: a published model and a dataset in, the protocol's figures out."""

from typing import Any

import torch

from app.dataset import open_dataset
from app.errors import DoesNotFit, Invalid
from app.ml.evaluation_job import EvaluateJob
from app.ml.spec import TrainSpec
from app.registry import jobs, objects
from app.registry.metrics import finite
from app.registry.tables import Dataset, Version
from worker import checkpoint, computing
from worker.continuation import evaluate_fitting
from worker.domains import Domain
from worker.preparation import Run, environment
from worker.progress import Reporter, Stopped

UNKNOWN: dict[str, Any] = {
    "datasets": [],
    "name": "imported",
    "base_model": None,
    "augmentation": {"name": "none"},
    "training": {
        "epochs": 1,
        "batch_size": 1,
        "learning_rate": 1.0,
        "optimizer": "adamw",
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup": 0.0,
        "clip_norm": None,
        "precision": "fp32",
        "seed": 0,
        "early_stopping": None,
        "checkpoint_seconds": 60.0,
    },
}
"""How a model was trained that came from elsewhere: the protocol reads nothing of it but the seed."""


def run(reporter: Reporter) -> None:
    """Judges the model that the job names. Raises DoesNotFit when the dataset is not of its kind, Stopped, Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        version = session.get_one(Version, job.base_version_id)
        row = session.get_one(Dataset, jobs.dataset_ids(session, job.id)[0].dataset_id)
        held = objects.held(session, row.id)
    asked = EvaluateJob.model_validate(job.spec)
    model = computing.load(reporter.database, reporter.storage, job.project_id, asked.model)
    dataset = open_dataset({name: reporter.storage.local(parts[0]) for name, parts in held.items()})
    known = {name: value for name, value in version.spec.items() if name in UNKNOWN}
    spec = TrainSpec.model_validate({"kind": "pretrain", **UNKNOWN, **known, **model.loaded.spec})
    view = Run(
        spec=spec,
        dataset=dataset,
        fitted=model.loaded.roles,
        network=model.loaded.network,
        device=torch.device("cpu"),
        position=checkpoint.Position(spec.model_dump(mode="json"), {}, 0, torch.get_num_threads(), environment()),
        window_bytes=reporter.settings.window_bytes,
        domains=[Domain(row.id, row.name, row.fingerprint, dataset)],
    )
    try:
        metrics = evaluate_fitting(view)
    except Invalid as error:
        refusal = f"model {model.reference} cannot be judged on dataset {row.id}: {error.message}"
        raise DoesNotFit(refusal, param="dataset") from error
    if reporter.stop.is_set():
        raise Stopped
    with reporter.database.session() as session:
        jobs.succeed(session, job.id, reporter.token, metrics=finite(metrics))
