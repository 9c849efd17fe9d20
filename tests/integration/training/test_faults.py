"""What goes wrong while a job trains, and what is left of it."""

from typing import Any

import numpy as np
import pytest
import torch

from app.errors import InsufficientStorage, NonFiniteLoss, RootstockError
from app.ml.objectives.autoencoding import Autoencoder
from app.ml.tensors.batch import Batch, Loss
from app.registry import checkpoints, events, models
from tests.little_room import little_room
from tests.workshop import Workshop, blobs
from worker import checkpoint
from worker.preparation import prepare
from worker.trainer import Trainer, run

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32}


def test_a_loss_that_explodes_ends_the_job_and_publishes_nothing(sqlite: Workshop) -> None:
    training = {"epochs": 50, "optimizer": "sgd", "learning_rate": 10.0, "schedule": "constant", "clip_norm": None}
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=training, encoder={"name": "mlp", "norm": "none"})
    with pytest.raises(NonFiniteLoss, match="learning_rate"):
        run(sqlite.claim(job.id))
    with sqlite.database.reading() as session:
        assert models.all(session, sqlite.project_id) == []
        for saved in checkpoints.newest(session, job.id):
            assert np.isfinite(list(saved.metrics.values())).all()


def test_a_loss_that_is_no_number_once_goes_back_and_on_with_a_smaller_rate(
    sqlite: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT)
    step = Trainer.train_step

    def poisoned(self: Trainer, batch: Any) -> None:
        if self.position.step == 40 and self.position.rate_scale == 1.0:
            self.weights.values[0] = float("nan")
        step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", poisoned)
    version = sqlite.train(job)

    assert np.isfinite(version.metrics["mse"])
    with sqlite.database.reading() as session:
        (told,) = [event for event in events.after(session, job.id, 0, 1000) if "goes on from step" in event.message]
    assert told.level == "warn"
    assert "0.1 times the learning rate" in told.message


@pytest.mark.parametrize("more", [{}, {"max_seconds": 600}], ids=["steps", "a time budget"])
def test_a_batch_that_memory_cannot_hold_is_computed_in_parts(
    sqlite: Workshop, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """Also where a first step is made to measure its speed."""
    dataset = sqlite.dataset(blobs(labels=False))
    objective = {"name": "autoencoding", "shrinkage": 30, "stress": 0}  # whose loss is that of each row
    training = SHORT | {"epochs": 2, "precision": "fp32"} | more
    whole = sqlite.train(sqlite.job(dataset, objective=objective, training=training | {"accumulation": 4}))
    job = sqlite.job(dataset, objective=objective, training=training)
    loss = Autoencoder.loss

    def hungry(self: Autoencoder, batch: Batch) -> Loss:
        if self.training and len(batch.rows) > 8:
            raise torch.OutOfMemoryError("tried to allocate more than there is")
        return loss(self, batch)

    monkeypatch.setattr(Autoencoder, "loss", hungry)
    halved = sqlite.train(job)

    assert sqlite.weights(halved) == sqlite.weights(whole)
    with sqlite.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 1000) if "memory" in event.message]
    assert [message.partition("computed in ")[2] for message in told] == ["2 parts", "4 parts"]


def test_what_newer_checkpoints_supersede_takes_no_room(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT)
    reporter = sqlite.claim(job.id)
    trainer = Trainer(reporter, prepare(reporter))
    for step in range(5):
        trainer.position.step = step
        trainer.save()
    trainer.writer.flush()
    there = {key.split("/")[3] for key, _ in sqlite.storage.listing(f"jobs/{job.id}")}
    assert there == {"checkpoint-3", "checkpoint-4"}


def test_a_full_disk_costs_a_checkpoint_and_no_training(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT)
    reporter = sqlite.claim(job.id)
    trainer = Trainer(reporter, prepare(reporter))
    trainer.save()
    trainer.writer.flush()
    with little_room(200_000):
        trainer.save()
        assert trainer.writer._pending is not None
        assert isinstance(trainer.writer._pending.exception(), InsufficientStorage)
    trainer.train()

    with sqlite.database.reading() as session:
        told = [event for event in events.after(session, job.id, 0, 100) if "could not be written" in event.message]
        assert [event.level for event in told] == ["warn"]
        newest = checkpoints.newest(session, job.id)
    assert newest[0].step == trainer.position.step > 0
    saved = checkpoint.newest(reporter)
    assert saved is not None
    assert saved.position.step == trainer.position.step


def test_a_dataset_that_does_not_fit_the_base_is_refused(sqlite: Workshop) -> None:
    base = sqlite.train(sqlite.job(sqlite.dataset(blobs(width=12, labels=False)), training=SHORT))
    job = sqlite.job(sqlite.dataset(blobs(width=7)), base, kind="finetune", training=SHORT)
    with pytest.raises(RootstockError, match="7"):
        run(sqlite.claim(job.id))
