"""The handler of an `evaluate` job: a published model and a dataset in, the protocol's figures out."""

from app.dataset import open_dataset
from app.ml.jobs.evaluate import EvaluateJob, refusing
from app.ml.jobs.network import NetworkSpec
from app.registry import fenced, jobs, objects
from app.registry.metrics import finite
from app.registry.tables import Dataset, Version
from worker.evaluation.protocol import evaluate_checked
from worker.evaluation.subject import Subject
from worker.handlers import computing
from worker.progress import Reporter


def run(reporter: Reporter) -> None:
    """Evaluates the model that the job names. Raises DoesNotFit for a dataset of another kind, Stopped, Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        version = session.get_one(Version, job.base_version_id)
        row = session.get_one(Dataset, jobs.datasets_of(session, job.id)[0].dataset_id)
        held = objects.held(session, row.id)
    asked = EvaluateJob.model_validate(job.spec)
    model = computing.load(reporter.database, reporter.storage, job.project_id, asked.model)
    dataset = open_dataset({name: reporter.storage.local(parts[0]) for name, parts in held.items()})
    subject = Subject(
        spec=NetworkSpec.model_validate(model.loaded.spec),
        network=model.loaded.network,
        fitted=model.loaded.roles,
        dataset=dataset,
        seed=version.spec.get("training", {}).get("seed", 0),
        window_bytes=reporter.settings.window_bytes,
        tick=reporter.leave_if_asked,
    )
    with refusing(model.reference, "be evaluated on", row.id):
        metrics = evaluate_checked(subject)
    reporter.leave_if_asked()
    with reporter.database.session() as session:
        fenced.succeed(session, job.id, reporter.token, metrics=finite(metrics))
