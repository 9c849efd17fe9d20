"""Making a model of a checkpoint: of a training that runs, failed or was cancelled; twice, at once, and too late."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from app.errors import ArtifactDamaged
from app.registry import checkpoints, fenced, jobs, leases, models, objects
from app.registry.tables import Dataset
from app.sweep import remove_orphans
from tests.integration.api.conftest import IN_ONE_HOUSE, Garden
from tests.integration.api.faults import refused
from tests.workshop import Workshop, blobs
from worker.handlers import publishing
from worker.preparation import prepare
from worker.progress import Reporter, Stopped
from worker.trainer import Trainer

BODY: dict[str, Any] = {
    "encoder": {"name": "mlp", "widths": [32]},
    "training": {"epochs": 10, "batch_size": 32, "early_stopping": None},
}
EPOCH = 10
LOST = {"message": "lost", "type": "job_error", "param": None, "code": "worker_lost"}


class Cut(Trainer):
    """Is asked to leave after some step."""

    at = 0

    def train_step(self, batch: Any) -> None:
        super().train_step(batch)
        if self.position.step + 1 == self.at:
            self.reporter.stop.set()


class Bench(Workshop):
    """The handlers of a worker, in the garden's project."""

    def __init__(self, garden: Garden, home: Path) -> None:
        self.database, self.storage = garden.database, garden.house.storage
        self.settings, self.project_id = garden.house.services.settings, garden.project_id
        self.client = garden.client

    def cut(self, dataset: Dataset, at: int, **body: Any) -> Reporter:
        """A training that has run so far, saved, and is still held by its worker."""
        job = self.job(dataset, **BODY | body)
        reporter = self.claim(job.id)
        trainer = Cut(reporter, prepare(reporter))
        trainer.at = at
        with pytest.raises(Stopped):
            trainer.train()
        reporter.stop.clear()
        return reporter

    def kept(self, job_id: str) -> list[dict[str, Any]]:
        """The job's checkpoints, the newest first."""
        found: list[dict[str, Any]] = (
            self.client.get(f"/v1/jobs/{job_id}/checkpoints").raise_for_status().json()["data"]
        )
        return sorted(found, key=lambda each: -each["step"])

    def publish(self, job_id: str, checkpoint: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/v1/jobs/{job_id}/checkpoints/{checkpoint}/publish", json=body)

    def published(self, job_id: str, checkpoint: str, **body: Any) -> dict[str, Any]:
        """The job that makes a model of it, done."""
        job = self.publish(job_id, checkpoint, **body).raise_for_status().json()
        publishing.run(self.claim(job["id"]))
        done: dict[str, Any] = self.client.get(f"/v1/jobs/{job['id']}").json()
        assert done["status"] == "succeeded"
        return done

    def tensors(self, checkpoint: str, prefix: str) -> dict[str, Tensor]:
        with self.database.reading() as session:
            (stored,) = objects.held(session, checkpoint)["state.safetensors"]
        found = load(self.storage.get(stored.key))
        return {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}

    def model(self, reference: str) -> dict[str, Tensor]:
        with self.database.reading() as session:
            version = models.resolve(session, self.project_id, reference)
        return load(self.weights(version))

    def rehash(self, checkpoint: str, sha256: str) -> str:
        """Says that its tensors once had another hash; gives the one before."""
        with self.database.session() as session:
            (stored,) = objects.held(session, checkpoint)["state.safetensors"]
            before, stored.sha256 = stored.sha256, sha256
        return before

    def drop(self, checkpoint: str) -> None:
        with self.database.session() as session:
            checkpoints.drop(session, checkpoint)


@pytest.fixture
def bench(garden: Garden, tmp_path: Path) -> Bench:
    return Bench(garden, tmp_path)


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return set(first) == set(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_a_running_training_gives_a_model_of_its_best_weights_so_far(bench: Bench) -> None:
    rows = blobs()
    running = bench.cut(bench.dataset(rows), at=2 * EPOCH + 5)
    newest = bench.kept(running.job_id)[0]
    assert (newest["step"], newest["model"]) == (2 * EPOCH + 5, None)

    done = bench.published(running.job_id, newest["id"], name="early")

    assert (done["kind"], done["model"], done["error"]) == ("publish", "early:1", None)
    assert bench.client.get(f"/v1/jobs/{running.job_id}").json()["status"] == "running"
    shown = bench.client.get("/v1/models/early").json()
    best = shown["metrics"]["checkpoint"]["weights_of_step"]
    assert shown["metrics"]["checkpoint"] == {
        "id": newest["id"],
        "job": running.job_id,
        "step": 2 * EPOCH + 5,
        "weights_of_step": best,
    }
    assert best in (EPOCH, 2 * EPOCH), "of a validation"
    assert set(shown["metrics"]["baselines"]) == {"mean", "pca", "raw", "untrained"}
    assert equal(bench.model("early:1"), bench.tensors(newest["id"], "best."))
    answer = bench.client.post("/v1/embeddings", json={"model": "early", "input": rows["features"][:3].tolist()})
    assert len(answer.raise_for_status().json()["data"]) == 3
    lineage = bench.client.get("/v1/models/early/lineage").json()
    assert lineage["job"] == running.job_id
    assert newest["id"] in {each["id"] for each in lineage["checkpoints"]}
    assert bench.kept(running.job_id)[0]["model"] == "early:1"


@IN_ONE_HOUSE
@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_what_a_training_had_learned_outlives_its_end(bench: Bench, end: str) -> None:
    training = bench.cut(bench.dataset(blobs(labels=False)), at=EPOCH + 3)
    with bench.database.session() as session:
        if end == "failed":
            fenced.fail(session, training.job_id, training.token, LOST)
        else:
            jobs.ask(session, bench.project_id, training.job_id, "cancel")
            leases.leave(session, training.job_id, training.token)
    assert bench.client.get(f"/v1/jobs/{training.job_id}").json()["status"] == end

    done = bench.published(training.job_id, bench.kept(training.job_id)[0]["id"])

    assert done["model"] == "data:1", "under the name that the training had"


@IN_ONE_HOUSE
def test_before_the_first_validation_it_is_the_moving_average(bench: Bench) -> None:
    body = {"training": BODY["training"] | {"ema": 0.9}}
    training = bench.cut(bench.dataset(blobs(labels=False)), at=5, **body)
    newest = bench.kept(training.job_id)[0]
    assert bench.tensors(newest["id"], "best.") == {}

    done = bench.published(training.job_id, newest["id"])

    given, moment = bench.model(done["model"]), bench.tensors(newest["id"], "network.")
    assert set(given) == set(moment)
    assert not equal(given, moment)
    average = bench.tensors(newest["id"], "average.")["weights"]
    places = {float(number) for number in average}
    assert all(float(number) in places for name, tensor in given.items() if "bias" in name for number in tensor)


def test_twice_and_all_at_once_it_is_one_job(bench: Bench) -> None:
    training = bench.cut(bench.dataset(blobs(labels=False)), at=EPOCH + 1)
    checkpoint = bench.kept(training.job_id)[0]["id"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: bench.publish(training.job_id, checkpoint), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    (job_id,) = {answer.json()["id"] for answer in answers}
    publishing.run(bench.claim(job_id))

    again = bench.publish(training.job_id, checkpoint).json()
    assert (again["id"], again["model"]) == (job_id, "data:1")
    other = bench.publish(training.job_id, checkpoint, name="other").json()
    assert other["id"] != job_id
    assert bench.client.delete("/v1/models/data").is_success
    assert bench.publish(training.job_id, checkpoint).json()["id"] not in (job_id, other["id"]), "its model is gone"


def test_what_was_asked_for_is_kept_until_it_is_a_model(bench: Bench) -> None:
    """Training goes on and drops the checkpoint, and the sweep comes, before a worker has time."""
    training = bench.cut(bench.dataset(blobs(labels=False)), at=EPOCH + 1)
    newest, oldest = (each["id"] for each in bench.kept(training.job_id))
    asked = bench.publish(training.job_id, newest).json()
    bench.drop(newest)
    remove_orphans(bench.settings.model_copy(update={"orphan_seconds": 0.0}), bench.database, bench.storage)
    publishing.run(bench.claim(asked["id"]))

    assert bench.publish(training.job_id, newest).json()["model"] == "data:1"
    message = refused(bench.publish(training.job_id, newest, name="other"), 409, "checkpoint_gone")
    assert oldest in message, "what there still is"


@IN_ONE_HOUSE
def test_a_damaged_checkpoint_fails_and_can_be_asked_for_again(bench: Bench) -> None:
    training = bench.cut(bench.dataset(blobs(labels=False)), at=EPOCH + 1)
    checkpoint = bench.kept(training.job_id)[0]["id"]
    whole = bench.rehash(checkpoint, 64 * "0")
    job_id = bench.publish(training.job_id, checkpoint).json()["id"]
    reporter = bench.claim(job_id)
    with pytest.raises(ArtifactDamaged) as raised:
        publishing.run(reporter)
    with bench.database.session() as session:
        fenced.fail(session, job_id, reporter.token, raised.value.body())
    refused(bench.client.post(f"/v1/jobs/{job_id}/retry"), 409, "wrong_state")

    bench.rehash(checkpoint, whole)
    assert bench.published(training.job_id, checkpoint)["model"] == "data:1"


def test_what_cannot_become_a_model_is_refused(bench: Bench, stranger: httpx.Client) -> None:
    dataset = bench.dataset(blobs(labels=False))
    training = bench.cut(dataset, at=1)
    newest, first = bench.kept(training.job_id)
    assert first["step"] == 0
    assert "step 0" in refused(bench.publish(training.job_id, first["id"]), 409, "wrong_state")
    refused(bench.publish(training.job_id, newest["id"], name="no name"), 422, "out_of_range", "name")
    refused(bench.publish(training.job_id, newest["id"], nam="x"), 422, "unknown_key", "nam")
    refused(bench.publish(training.job_id, "ckpt-1"), 404, "not_found")
    refused(bench.publish(training.job_id, "ckpt-" + 26 * "0"), 404, "not_found")
    refused(bench.publish("job-" + 26 * "0", newest["id"]), 404, "not_found")
    path = f"/v1/jobs/{training.job_id}/checkpoints/{newest['id']}/publish"
    refused(stranger.post(path, json={}), 404, "not_found")
    with bench.database.session() as session:
        fenced.fail(session, training.job_id, training.token, LOST)
    assert bench.client.delete(f"/v1/datasets/{dataset.id}").is_success
    assert "deleted" in refused(bench.publish(training.job_id, newest["id"]), 409, "wrong_state")


@IN_ONE_HOUSE
def test_a_publication_that_is_asked_to_leave_does_so(bench: Bench) -> None:
    training = bench.cut(bench.dataset(blobs(labels=False)), at=EPOCH + 1)
    job_id = bench.publish(training.job_id, bench.kept(training.job_id)[0]["id"]).json()["id"]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        publishing.run(bench.claim(job_id, stop))
