"""The end of a training: evaluate, write the artifact, publish it. Bytes first, then one transaction."""

import tempfile
from pathlib import Path

import torch

from app.ml import artifact, engines
from app.ml.modalities.base import Tensors
from app.registry import jobs, models
from app.registry.tables import Version
from worker.evaluate import evaluate
from worker.preparation import Run
from worker.progress import Reporter

GOLDEN_ROWS = 8


def publish(reporter: Reporter, run: Run) -> None:
    """Registers the run's network as the next version of its name and ends the job, both or neither."""
    spec = run.spec
    network = run.network.to(torch.device("cpu")).eval()
    metrics = evaluate(run)
    with tempfile.TemporaryDirectory(prefix="rootstock-artifact-") as folder:
        written = artifact.save(
            Path(folder),
            network,
            run.fitted,
            spec.network(),
            golden_inputs=golden_inputs(run),
            extra={"name": spec.name},
        )
        loaded = artifact.load(written)
        artifact.verify(loaded)
        engine = engines.choose(loaded)
        stored = {name: reporter.storage.put(reporter.key("artifact", name), path) for name, path in written.items()}
    with reporter.database.session() as session:
        job = jobs.load(session, reporter.job_id)
        version: Version = models.publish(
            session,
            project_id=job.project_id,
            name=spec.name,
            job_id=job.id,
            parent_id=run.base.id if run.base is not None else None,
            spec=spec.model_dump(mode="json"),
            modality=spec.roles[spec.objective.asked].modality.name,
            dimensions=dimensions(run),
            abilities=sorted(spec.objective.abilities),
            metrics=metrics,
            datasets=run.sources,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            objects=stored,
            engine=engine,
            aliases=[spec.publish.alias] if spec.publish is not None else [],
        )
        jobs.succeed(session, reporter.job_id, reporter.token, version_id=version.id, metrics=metrics)


def golden_inputs(run: Run) -> Tensors:
    """The first rows of the validation split, encoded: what every later load of the model must answer alike."""
    batch = next(run.loader("validation", GOLDEN_ROWS).in_order(GOLDEN_ROWS))
    return batch.roles[run.spec.objective.asked]


def dimensions(run: Run) -> int | None:
    """Width of the model's embeddings; None when it has none."""
    if "embed" not in run.spec.objective.abilities:
        return None
    with torch.inference_mode():
        return int(run.network.embed(golden_inputs(run)).shape[1])  # type: ignore[operator]
