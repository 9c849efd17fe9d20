"""A job on several datasets: what it publishes, how it resumes, how it is refused."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import DatasetsDiffer
from app.registry import datasets as registry
from app.registry import events, leases, metrics
from app.registry.db import Database
from app.registry.tables import Dataset
from app.storage import storage_at
from tests.workshop import Workshop, blobs
from worker.progress import Stopped
from worker.trainer import Trainer, run

SHORT: dict[str, Any] = {"epochs": 6, "batch_size": 32}


@pytest.fixture
def sqlite(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def two(workshop: Workshop) -> list[Dataset]:
    """Two sets of rows of one width, far apart, whose classes overlap in one name."""
    near, far = blobs(400), blobs(200)
    far = {"features": far["features"] * 3 + 40, "label": np.char.replace(far["label"].astype("U8"), "0", "far")}
    return [workshop.dataset(near), workshop.dataset(far)]


def refs(datasets: list[Dataset], *weights: float) -> list[dict[str, Any]]:
    return [{"id": each.id} | ({"weight": weights[n]} if weights else {}) for n, each in enumerate(datasets)]


def test_every_dataset_is_reported_beside_all_of_them(sqlite: Workshop) -> None:
    datasets = two(sqlite)
    job = sqlite.job(datasets[0], datasets=refs(datasets, 1, 1), objective={"name": "classification"}, training=SHORT)
    version = sqlite.train(job)

    assert [(each["id"], each["weight"]) for each in version.datasets] == [(each.id, 0.5) for each in datasets]
    apart = version.metrics["domains"]
    assert list(apart) == [each.id for each in datasets]
    for judged in (version.metrics, *apart.values()):
        assert judged["accuracy"] > judged["baselines"]["majority"]["accuracy"] + 0.2
    assert apart[datasets[0].id]["rows"] + apart[datasets[1].id]["rows"] == version.metrics["rows"]
    with sqlite.database.reading() as session:
        points = metrics.series(session, job.id, limit=1000)
    splits = ["validation", *(f"validation:{each.id}" for each in datasets)]
    whole, *parts = ([float(p.value or 0) for p in points if (p.split, p.name) == (split, "loss")] for split in splits)
    assert len(whole) >= 6
    assert np.allclose(np.mean(parts, axis=0), whole)


def test_it_resumes_with_the_same_weights(sqlite: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = [sqlite.dataset(blobs(rows, labels=False)) for rows in (400, 150)]
    small = {"name": "mlp", "preset": "nano"}
    body: dict[str, Any] = {
        "datasets": refs(datasets),
        "mixture": {"temperature": 3},
        "encoder": small,
        "training": SHORT,
    }
    whole = sqlite.train(sqlite.job(datasets[0], **body))
    job = sqlite.job(datasets[0], **body)
    reporter = sqlite.claim(job.id, threading.Event())
    step = Trainer.train_step

    def stopping(self: Trainer, batch: Any) -> None:
        step(self, batch)
        if self.position.step + 1 == 37:  # in the middle of an epoch
            reporter.stop.set()

    monkeypatch.setattr(Trainer, "train_step", stopping)
    with pytest.raises(Stopped):
        run(reporter)
    monkeypatch.setattr(Trainer, "train_step", step)
    with sqlite.database.session() as session:
        leases.leave(session, job.id, reporter.token)
    resumed = sqlite.train(job)

    assert sqlite.weights(resumed) == sqlite.weights(whole)
    assert resumed.metrics == whole.metrics


@pytest.mark.parametrize("objective", ["pca", "tfidf_svd", "word_embeddings", "sentence_embeddings"])
def test_a_solved_objective_reads_all_datasets(sqlite: Workshop, objective: str) -> None:
    if objective == "pca":
        datasets = [sqlite.dataset(blobs(labels=False)), sqlite.dataset(blobs(100, labels=False))]
    else:
        lines = ["the oak grows by the river and the elm stands on the hill\n" * 3, "a ship sails far over the sea\n"]
        texts = ["".join(f"{number} {line}" for number in range(60)) for line in lines]
        datasets = [sqlite.dataset(text.encode(), "lines.txt", modality="text") for text in texts]
    version = sqlite.train(sqlite.job(datasets[0], datasets=refs(datasets), objective={"name": objective}))

    assert set(version.metrics["domains"]) == {each.id for each in datasets}
    assert len(version.datasets) == 2


def test_datasets_that_differ_fail_the_job_once_they_are_known(sqlite: Workshop) -> None:
    datasets = [sqlite.dataset(blobs(width=4)), sqlite.dataset(blobs(width=5))]
    job = sqlite.job(datasets[0], datasets=refs(datasets))
    with pytest.raises(DatasetsDiffer, match=datasets[1].id):
        run(sqlite.claim(job.id))


def test_a_model_that_goes_on_tells_what_it_kept_and_what_it_learned(sqlite: Workshop) -> None:
    old, new = (sqlite.dataset({"features": blobs(labels=False)["features"] * size}) for size in (1.0, 3.0))
    base = sqlite.train(sqlite.job(old, encoder={"name": "mlp", "preset": "nano", "dimensions": 2}, training=SHORT))
    job = sqlite.job(new, base, datasets=refs([old, new]), training=SHORT)
    version = sqlite.train(job)

    told = version.metrics["base"]
    assert (told["model"], told["gone"]) == ("data:1", [])
    assert {each: told["domains"][each]["learned_by"] for each in told["domains"]} == {
        old.id: ["base", "job"],
        new.id: ["job"],
    }
    assert told["domains"][old.id]["before"]["mse"] == pytest.approx(base.metrics["mse"], rel=1e-5)
    assert told["domains"][new.id]["after"]["mse"] == version.metrics["domains"][new.id]["mse"]
    assert told["domains"][new.id]["after"]["mse"] < told["domains"][new.id]["before"]["mse"]
    spec = sqlite.look(job).spec
    assert spec is not None
    assert spec["training"]["learning_rate"] == pytest.approx(0.3 * base.spec["training"]["learning_rate"])


def test_labels_that_the_base_does_not_know_are_told_and_no_dataset_is_gone(sqlite: Workshop) -> None:
    old, new = (sqlite.dataset({**blobs(), "label": np.char.add(name, blobs()["label"])}) for name in ("a", "b"))
    asked: dict[str, Any] = {"objective": {"name": "classification"}, "training": SHORT | {"epochs": 1}}
    base = sqlite.train(sqlite.job(old, **asked))
    told = sqlite.train(sqlite.job(new, base, **asked)).metrics["base"]
    assert (told["domains"], told["gone"]) == ({}, [old.id])


def test_a_dataset_of_the_base_that_is_gone_is_told(sqlite: Workshop) -> None:
    old, new = (sqlite.dataset({"features": blobs(labels=False)["features"] * size}) for size in (1.0, 3.0))
    small = {"name": "mlp", "preset": "nano", "dimensions": 2}
    base = sqlite.train(sqlite.job(old, encoder=small, training=SHORT | {"epochs": 1}))
    with sqlite.database.session() as session:
        registry.delete(session, sqlite.project_id, old.id)
    job = sqlite.job(new, base, training=SHORT | {"epochs": 1})
    told = sqlite.train(job).metrics["base"]

    assert (list(told["domains"]), told["gone"]) == ([new.id], [old.id])
    with sqlite.database.reading() as session:
        assert any(old.id in event.message for event in events.after(session, job.id, 0, 100) if event.level == "warn")


def test_going_on_with_other_labels_begins_with_a_head_for_them(sqlite: Workshop) -> None:
    first, second = blobs(300), blobs(300)
    second["label"] = np.array(["yes", "perhaps", "no"])[second["label"].astype(int)]  # of another order by name
    given: dict[str, Any] = {"objective": {"name": "classification"}, "training": {**SHORT, "epochs": 20}}
    base = sqlite.train(sqlite.job(sqlite.dataset(first), **given))
    still = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-6}
    made = sqlite.train(sqlite.job(sqlite.dataset(second), base, training=still))
    assert made.spec["roles"]["target"] == base.spec["roles"]["target"]
    assert made.metrics["accuracy"] > base.metrics["accuracy"] - 0.1
