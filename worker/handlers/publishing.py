"""The handler of a `publish` job: a checkpoint of a training in, an evaluated and proved version of a model out."""

import torch

from app.errors import ArtifactDamaged
from app.ml.jobs.publish import PublishJob
from app.registry import jobs, objects
from worker import checkpoint
from worker.preparation import assemble
from worker.progress import Reporter
from worker.publishing.publication import publish
from worker.step.optimizer import Weights
from worker.training_run import Run


def run(reporter: Reporter) -> None:
    """Publishes the best weights that the checkpoint knows. Raises ArtifactDamaged, Stopped and Fenced."""
    with reporter.database.reading() as session:
        asked = PublishJob.model_validate(jobs.load(session, reporter.job_id).spec)
        held = objects.held(session, reporter.job_id)
    saved = checkpoint.read(reporter.storage, held)
    training = assemble(reporter, saved, torch.device("cpu"))
    try:
        learned = take_up(training)
    except (RuntimeError, KeyError) as error:
        raise ArtifactDamaged(f"checkpoint {asked.checkpoint} does not fit its network: {error}") from error
    training.spec = training.spec.model_copy(update={"name": asked.name, "publish": None})
    reporter.leave_if_asked()
    origin = {"id": asked.checkpoint, "job": asked.job, "step": asked.step, "weights_of_step": learned}
    publish(reporter, training, trained_by=asked.job, metrics={"checkpoint": origin})


def take_up(run: Run) -> int:
    """Puts the weights in place that the training would publish if it ended here; gives the step that they are of.

    Before its first validation these are those of the moment, or their moving average.
    """
    best = checkpoint.under("best", run.tensors)
    if best:
        run.network.load_state_dict(best)
        return run.position.step if run.position.best_step is None else run.position.best_step
    run.network.load_state_dict(checkpoint.under("network", run.tensors))
    if "average.weights" in run.tensors:
        weights = Weights(run.network, run.spec.training)
        weights.restore(run.tensors)
        weights.swap()
        weights.release()
    return run.position.step
