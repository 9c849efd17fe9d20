"""A job that goes on: the same weights, the same threads, one publication."""

import os
import threading
from typing import Any

import pytest
import torch

from app.ml.networks.descent import Descent
from app.ml.networks.team import Team
from app.ml.objectives.autoencoding import Autoencoder
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.threads import computing_with
from app.registry import checkpoints, events, leases, models, objects
from app.registry.tables import Job
from tests.workshop import Workshop, blobs
from worker.checkpoint import Writer
from worker.progress import Reporter, Stopped
from worker.timing import threads
from worker.trainer import Trainer, run
from worker.validation.validator import Validator

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32}
on_a_processor = pytest.mark.skipif(torch.cuda.is_available(), reason="beside a GPU, threads only gather batches")


@pytest.mark.parametrize(
    ("objective", "more"),
    [
        ("autoencoding", {}),
        ("denoising", {"ema": 0.95, "accumulation": 3, "optimizer": "sgd", "learning_rate": 0.01}),
        ("variational", {}),
        ("masked", {"max_seconds": 3600, "precision": "bf16"}),
        ("contrastive", {"ema": 0.9, "accumulation": 2}),
        ("classification", {}),
    ],
)
def test_a_resumed_job_ends_with_the_same_weights(
    sqlite: Workshop, objective: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = sqlite.dataset(blobs(labels=objective == "classification"))
    training = SHORT | more
    body: dict[str, Any] = {
        "objective": {"name": objective},
        "encoder": {"name": "mlp", "widths": [16, 8], "dropout": 0.1},
        "augmentation": {"name": "vectors", "noise": 0.1, "swap": 0.1},
    }
    whole = sqlite.train(sqlite.job(dataset, training=training, **body))
    interrupted = sqlite.job(dataset, training=training, **body)
    for at in (17, 71):  # in mid-epoch
        interrupt(sqlite, interrupted, at, monkeypatch)

    resumed = sqlite.train(interrupted)

    assert sqlite.weights(resumed) == sqlite.weights(whole)
    assert resumed.metrics == whole.metrics


def interrupt(workshop: Workshop, job: Job, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains up to step `at` and hands the job back."""
    stop = threading.Event()
    reporter = workshop.claim(job.id, stop)
    step = Trainer.train_step

    def stopping(self: Trainer, batch: Any) -> None:
        step(self, batch)
        if self.position.step + 1 == at:
            stop.set()

    monkeypatch.setattr(Trainer, "train_step", stopping)
    with pytest.raises(Stopped):
        run(reporter)
    monkeypatch.setattr(Trainer, "train_step", step)
    with workshop.database.session() as session:
        assert leases.leave(session, job.id, reporter.token) == "queued"


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A job whose rows two threads divide."""
    monkeypatch.setattr(threads, "SMALL_PRODUCT", -1)  # no step is small
    monkeypatch.setattr("app.ml.runtime.threads.ALL_THREADS", 2)
    return {
        "encoder": {"name": "mlp", "widths": [16, 8], "activation": "relu", "norm": "none"},
        "objective": {"name": "autoencoding", "residual": False},
        "training": {"epochs": 10, "batch_size": 256, "clip_norm": 1.0, "precision": "fp32"},
    }


@on_a_processor
@pytest.mark.parametrize(("few", "count"), [(60, 1), (59, 2)])
def test_few_rows_are_validated_by_one_of_several_threads(
    sqlite: Workshop, divided: dict[str, Any], few: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.trainer.FEW_VALIDATED", few)
    used = set()
    validate = Validator.validate

    def noted(self: Validator, *given: Any) -> None:
        used.add((self.scorer.rows, torch.get_num_threads()))
        validate(self, *given)

    monkeypatch.setattr(Validator, "validate", noted)
    with computing_with(2):
        divided["training"]["epochs"] = 2
        sqlite.train(sqlite.job(sqlite.dataset(blobs(rows=600, labels=False)), **divided))
    assert used == {(60, count)}


@on_a_processor
def test_a_job_whose_threads_divide_the_rows_ends_with_the_same_weights(
    sqlite: Workshop, divided: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, and with a last batch of each epoch that is not worth dividing."""
    sizes = set()
    learn = Autoencoder.learn

    def noted(self: Autoencoder, batch: Batch, share: float, descent: Descent) -> Loss:
        sizes.add((descent.team.size, len(batch.rows)))
        return learn(self, batch, share, descent)

    monkeypatch.setattr(Autoencoder, "learn", noted)
    dataset = sqlite.dataset(blobs(rows=600, labels=False))
    with computing_with(2):
        whole = sqlite.train(sqlite.job(dataset, **divided))
        interrupted = sqlite.job(dataset, **divided)
        interrupt(sqlite, interrupted, 17, monkeypatch)
        resumed = sqlite.train(interrupted)
    assert {team for team, _ in sizes} == {2}
    assert 256 in {rows for _, rows in sizes}
    assert len(sizes) == 2
    assert sqlite.weights(resumed) == sqlite.weights(whole)


def test_checkpoints_are_written_on_any_core(sqlite: Workshop) -> None:
    """Though a resumed job saves its first one when it already keeps to the caller's."""
    cores = os.sched_getaffinity(0)
    writer = Writer(sqlite.claim(sqlite.job(sqlite.dataset(blobs())).id))
    with Team(2).leading():
        assert writer._thread.submit(os.sched_getaffinity, 0).result() == cores
    writer.close()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(blobs(labels=False))
    whole = sqlite.train(sqlite.job(dataset, training=SHORT))
    job = sqlite.job(dataset, training=SHORT | {"checkpoint_seconds": 0.1})
    sqlite.leave(job)  # saves at step 0 and again after the first step
    with sqlite.database.reading() as session:
        newest, before = checkpoints.newest(session, job.id)
        (damaged,) = objects.held(session, newest.id)["state.safetensors"]
    assert (newest.step, before.step) == (1, 0)
    sqlite.storage.put(damaged.key, b"not what was stored")

    resumed = sqlite.train(job)

    assert sqlite.weights(resumed) == sqlite.weights(whole)
    with sqlite.database.reading() as session:
        assert any("damaged" in event.message for event in events.after(session, job.id, 0, 100))


def test_a_stale_token_publishes_nothing(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs(rows=60, labels=False)), training=SHORT)
    stale = sqlite.claim(job.id)
    with sqlite.database.session() as session:
        leases.lose(session, job.id, stale.token, {"message": "gone", "code": "worker_lost", "type": "", "param": None})
    fresh: Reporter = sqlite.claim(job.id)
    with pytest.raises(leases.Fenced):
        run(stale)
    run(fresh)
    with sqlite.database.reading() as session:
        assert len(models.all(session, sqlite.project_id)) == 1


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads of every step."""
    found: list[int] = []
    step = Trainer.train_step

    def noted(self: Trainer, batch: Batch) -> None:
        found.append(torch.get_num_threads())
        step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", noted)
    return found


@on_a_processor
def test_small_steps_are_computed_by_one_thread(sqlite: Workshop, used: list[int]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        sqlite.train(sqlite.job(sqlite.dataset(blobs(rows=60, labels=False)), training=SHORT))
        assert set(used) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_are_those_of_the_first_start(
    sqlite: Workshop, used: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "SMALL_PRODUCT", -1)  # no step is small
    before = torch.get_num_threads()
    job = sqlite.job(sqlite.dataset(blobs(rows=60, labels=False)), training=SHORT)
    sqlite.leave(job)
    try:
        torch.set_num_threads(before + 1)
        sqlite.train(job)
        assert set(used) == {before}
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
