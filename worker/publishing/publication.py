"""The end of a training: evaluate, write the artifact, publish it. Bytes first, then one transaction."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from sqlalchemy.orm import Session

from app.disk import needing_room
from app.ml import artifact
from app.ml.runtime import engines, onnx, portable
from app.ml.tensors.shapes import Tensors
from app.registry import fenced, jobs, models
from app.registry.metrics import finite
from app.registry.tables import Job, Version
from app.storage import Stored
from worker.evaluation.protocol import evaluate
from worker.progress import Reporter
from worker.publishing.continuation import before_and_after
from worker.publishing.engine_choice import choose
from worker.training_run import Run
from worker.validation.diagnosis import of_baselines

GOLDEN_ROWS = 8


@dataclass(frozen=True)
class Proved:
    """An artifact that gives its golden answers, in storage, with the engine that suits it."""

    loaded: artifact.Artifact
    engine: dict[str, Any]
    stored: dict[str, Stored]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.loaded.network.parameters())


def publish(
    reporter: Reporter, run: Run, *, trained_by: str | None = None, metrics: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Registers the run's network as the next version of its name and ends the job, both or neither.

    `trained_by` is the job that made the weights where it is another one; `metrics` stand beside those that are found.
    While the disk is full it waits: what was trained would be lost. Raises Stopped when asked to leave meanwhile.
    """
    spec = run.spec
    network = run.network.to(torch.device("cpu")).eval()
    reporter.stage("evaluating")
    reporter.event("message", "evaluates the model and simple answers on held-out rows")
    metrics = {**evaluate_run(reporter, run), **metrics}
    name, more = spec.objective.selection_metric
    for finding in of_baselines(metrics, name, more=more):
        reporter.event("warning", finding.message, level="warn", data={"finding": finding.name})
    if caveat := network.caveat(metrics):
        reporter.event("warning", caveat, level="warn", data={"finding": "caveat"})
    reporter.stage("publishing")

    def write() -> Proved:
        scratch = reporter.scratch
        with needing_room(scratch), tempfile.TemporaryDirectory(dir=scratch, prefix="artifact-") as folder:
            written = artifact.save(
                Path(folder),
                network,
                run.fitted,
                spec.network(),
                golden_inputs=golden_inputs(run),
                extra={"name": spec.name, "spec": spec.model_dump(mode="json"), "metrics": finite(metrics)},
            )
            return prove(reporter, written)

    made = reporter.when_there_is_room(write)
    reporter.stage(None)

    def end() -> None:
        with reporter.database.session() as session:
            job = jobs.load(session, reporter.job_id)
            version = register(
                session,
                job,
                made,
                name=spec.name,
                spec=spec.model_dump(mode="json"),
                metrics=metrics,
                parent_id=run.base.id if run.base is not None else None,
                datasets=run.sources,
                trained_by=trained_by,
                alias=spec.publish.alias if spec.publish is not None else None,
            )
            fenced.succeed(session, reporter.job_id, reporter.token, version_id=version.id, metrics=metrics)

    reporter.when_there_is_room(end)


def prove(reporter: Reporter, written: Mapping[str, Path]) -> Proved:
    """Loads an artifact's files, compares its answers with the golden ones, chooses its engine, stores the files.

    Beside them it stores the model's graphs. Raises ArtifactDamaged, and InsufficientStorage where they have no room.
    """
    loaded = artifact.load(written)
    artifact.verify(loaded)
    folder = written[artifact.MODEL].parent
    engine = choose(loaded, folder)
    graphs = [onnx.FILE] if engines.uses(engine, "onnx") else []
    try:
        with needing_room(folder):
            portable.write(loaded, folder / portable.FILE)
        graphs.append(portable.FILE)
    except portable.NoGraph as error:
        engine = {**engine, "no_graph": str(error)}
    files = {**written, **{name: folder / name for name in graphs}}
    stored = {name: reporter.storage.put(reporter.key("artifact", name), path) for name, path in files.items()}
    return Proved(loaded, engine, stored)


def register(
    session: Session,
    job: Job,
    made: Proved,
    *,
    name: str,
    spec: dict[str, Any],
    metrics: Mapping[str, Any],
    parent_id: str | None = None,
    datasets: Sequence[Mapping[str, Any]] = (),
    trained_by: str | None = None,
    alias: str | None = None,
) -> Version:
    """The next version of `name`, made by the job `trained_by` or by `job` itself; `alias` moves to it."""
    loaded = made.loaded
    return models.publish(
        session,
        project_id=job.project_id,
        name=name,
        job_id=trained_by or job.id,
        parent_id=parent_id,
        spec=spec,
        modality=loaded.roles[loaded.request_role].settings.name,
        dimensions=loaded.dimensions,
        abilities=loaded.abilities,
        metrics=metrics,
        datasets=datasets,
        parameters=made.parameters,
        objects=made.stored,
        engine=made.engine,
        aliases=[] if alias is None else [alias],
    )


def evaluate_run(reporter: Reporter, run: Run) -> dict[str, Any]:
    """The metrics of the run's network.

    Of several datasets, of all their rows together and under `domains` of each; of one that goes on from a base model,
    under `base` the scores of both.
    """
    metrics = evaluate(run.subject)
    apart = {run.domains[0].id: metrics}
    if len(run.domains) > 1:
        apart = {domain.id: evaluate(run.within(domain).subject) for domain in run.domains}
        shown = {d.id: {"name": d.name, "share": d.share, **apart[d.id]} for d in run.domains}
        metrics = {**metrics, "domains": shown}
    if run.base_model is None:
        return metrics
    return {**metrics, "base": before_and_after(reporter, run, apart)}


def golden_inputs(run: Run) -> Tensors:
    """The first rows of the validation split, encoded: what every later load of the model must answer alike.

    Of the training split where the other has none, as it may be where splits are given or labels few.
    """
    loaders = (run.loader(split, GOLDEN_ROWS) for split in ("validation", "train"))
    batch = next(chain.from_iterable(loader.in_order(GOLDEN_ROWS) for loader in loaders))
    return batch.roles[run.spec.objective.request_role]
