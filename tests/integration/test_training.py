"""A training as its process runs it: what it publishes, how it resumes, how it fails."""

import base64
import resource
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.config as inductor
from safetensors import SafetensorError

from app.errors import NonFiniteLoss, RootstockError
from app.ml import artifact
from app.ml.batch import Batch, Loss
from app.ml.objectives.autoencoding import Autoencoder
from app.ml.team import Team
from app.ml.threads import computing_with
from app.registry import checkpoints, events, leases, metrics, models, objects
from app.registry.db import Database
from app.registry.tables import Dataset, Job
from app.storage import Storage
from tests.picture_archives import picture, to_zip
from tests.workshop import Workshop, blobs
from worker import checkpoint, threads
from worker.preparation import prepare
from worker.progress import Reporter, Stopped
from worker.trainer import Trainer, run

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32}


@pytest.fixture
def workshop(database: Database, tmp_path: Path) -> Workshop:
    return Workshop(database, Storage((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


@pytest.fixture
def sqlite(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    """Where the database makes no difference."""
    storage = Storage((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def test_pretraining_publishes_a_model_with_metrics_beside_baselines(workshop: Workshop) -> None:
    job = workshop.job(workshop.dataset(blobs()), encoder={"name": "auto", "dimensions": 2}, training=SHORT)
    version = workshop.train(job)

    assert (version.model.name, version.number, version.dimensions) == ("data", 1, 2)
    assert version.abilities == ["embed", "reconstruct"]
    assert version.metrics["split"] == "test"
    assert version.metrics["mse"] < version.metrics["baselines"]["mean"]["mse"]
    assert set(version.metrics["baselines"]) == {"mean", "pca", "raw", "untrained"}
    assert version.datasets[0]["fingerprint"]
    done = workshop.look(job)
    assert (done.status, done.progress["percentage_done"]) == ("succeeded", 100.0)
    with workshop.database.reading() as session:
        series = metrics.series(session, job.id, limit=1000)
        assert {(point.split, point.name) for point in series} >= {("train", "loss"), ("validation", "loss")}
        assert models.resolve(session, workshop.project_id, "data").id == version.id


def test_a_graft_on_a_base_predicts(workshop: Workshop) -> None:
    dataset = workshop.dataset(blobs())
    base = workshop.train(workshop.job(dataset, training=SHORT))
    graft = workshop.train(workshop.job(dataset, base, kind="finetune", name="graft", training=SHORT))

    assert graft.parent_id == base.id
    assert graft.abilities == ["embed", "predict"]
    assert graft.metrics["accuracy"] > graft.metrics["baselines"]["majority"]["accuracy"] + 0.2


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
    dataset = sqlite.dataset(blobs())
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


def test_a_job_whose_threads_divide_the_rows_ends_with_the_same_weights(
    sqlite: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, and with a last batch of each epoch that is not worth dividing."""
    monkeypatch.setattr(threads, "SMALL_PRODUCT", -1)  # no step is small
    monkeypatch.setattr("app.ml.threads.ALL_THREADS", 2)
    sizes = set()
    learn = Autoencoder.learn

    def noted(self: Autoencoder, batch: Batch, share: float, team: Team) -> Loss:
        sizes.add((team.size, len(batch.rows)))
        return learn(self, batch, share, team)

    monkeypatch.setattr(Autoencoder, "learn", noted)
    body: dict[str, Any] = {
        "encoder": {"name": "mlp", "widths": [16, 8], "activation": "relu", "norm": "none"},
        "objective": {"name": "autoencoding", "residual": False},
        "training": {"epochs": 10, "batch_size": 256, "clip_norm": 1.0, "precision": "fp32"},
    }
    dataset = sqlite.dataset(blobs(rows=600))
    with computing_with(2):
        whole = sqlite.train(sqlite.job(dataset, **body))
        interrupted = sqlite.job(dataset, **body)
        interrupt(sqlite, interrupted, 17, monkeypatch)
        resumed = sqlite.train(interrupted)
    assert {team for team, _ in sizes} == {2}
    assert 256 in {rows for _, rows in sizes}
    assert len(sizes) == 2
    assert sqlite.weights(resumed) == sqlite.weights(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(blobs())
    whole = sqlite.train(sqlite.job(dataset, training=SHORT))
    job = sqlite.job(dataset, training=SHORT | {"checkpoint_seconds": 0.1})
    stop = threading.Event()
    stop.set()  # saves at step 0 and again after the first step
    reporter = sqlite.claim(job.id, stop)
    with pytest.raises(Stopped):
        run(reporter)
    with sqlite.database.session() as session:
        leases.leave(session, job.id, reporter.token)
        newest, before = checkpoints.newest(session, job.id)
        (damaged,) = objects.held(session, newest.id)["state.safetensors"]
    assert (newest.step, before.step) == (1, 0)
    sqlite.storage.put(damaged.key, b"not what was stored")

    resumed = sqlite.train(job)

    assert sqlite.weights(resumed) == sqlite.weights(whole)
    with sqlite.database.reading() as session:
        assert any("damaged" in event.message for event in events.after(session, job.id, 0, 100))


def test_a_loss_that_explodes_ends_the_job_and_publishes_nothing(sqlite: Workshop) -> None:
    training = {"epochs": 50, "optimizer": "sgd", "learning_rate": 10.0, "schedule": "constant", "clip_norm": None}
    job = sqlite.job(sqlite.dataset(blobs()), training=training, encoder={"name": "mlp", "norm": "none"})
    with pytest.raises(NonFiniteLoss, match="learning_rate"):
        run(sqlite.claim(job.id))
    with sqlite.database.reading() as session:
        assert models.all(session, sqlite.project_id) == []
        for saved in checkpoints.newest(session, job.id):
            assert np.isfinite(list(saved.metrics.values())).all()


def test_a_loss_that_is_no_number_once_goes_back_and_on_with_a_smaller_rate(
    sqlite: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sqlite.job(sqlite.dataset(blobs()), training=SHORT)
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
    dataset = sqlite.dataset(blobs())
    training = SHORT | {"epochs": 2} | more
    whole = sqlite.train(sqlite.job(dataset, training=training | {"accumulation": 4}))
    job = sqlite.job(dataset, training=training)
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


def test_a_full_disk_costs_a_checkpoint_and_no_training(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs()), training=SHORT)
    reporter = sqlite.claim(job.id)
    trainer = Trainer(reporter, prepare(reporter))
    trainer.save()
    trainer.writer.flush()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # what is larger cannot be written
    try:
        trainer.save()
        assert trainer.writer._pending is not None
        assert isinstance(trainer.writer._pending.exception(), SafetensorError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    trainer.train()

    with sqlite.database.reading() as session:
        told = [event for event in events.after(session, job.id, 0, 100) if "could not be written" in event.message]
        assert [event.level for event in told] == ["warn"]
        newest = checkpoints.newest(session, job.id)
    assert newest[0].step == trainer.position.step > 0
    saved = checkpoint.newest(reporter)
    assert saved is not None
    assert saved.position.step == trainer.position.step


def test_a_time_budget_ends_with_its_schedule(sqlite: Workshop) -> None:
    training = {"epochs": 100_000, "batch_size": 32, "max_seconds": 2, "early_stopping": None}
    job = sqlite.job(sqlite.dataset(blobs()), training=training)
    begun = time.monotonic()
    sqlite.train(job)

    progress = sqlite.look(job).progress
    assert progress["step"] == progress["max_steps"] < 100_000
    assert progress["max_epoch"] < 100_000
    assert time.monotonic() - begun < 20


def test_early_stopping_keeps_the_best_weights(sqlite: Workshop) -> None:
    training = SHORT | {"epochs": 400, "early_stopping": {"patience": 3}, "schedule": "constant"}
    job = sqlite.job(sqlite.dataset(blobs(rows=1200)), training=training)
    sqlite.train(job)

    with sqlite.database.reading() as session:
        points = metrics.series(session, job.id, limit=1000, split="validation", name="loss")
        told = [event.message for event in events.after(session, job.id, 0, 1000)]
    progress = sqlite.look(job).progress
    assert progress["step"] < progress["max_steps"]
    assert progress["best_step"] == min(points, key=lambda point: point.value or 0.0).step
    assert any("stopped early" in message for message in told)


def test_few_validation_rows_choose_nothing(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs(rows=60)), training=SHORT | {"early_stopping": {"patience": 1}})
    sqlite.train(job)

    progress = sqlite.look(job).progress
    assert progress["best_step"] == progress["step"] == progress["max_steps"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(blobs(rows=100))
    trained = [sqlite.train(sqlite.job(dataset, training=SHORT | {"seed": seed})) for seed in (1, 1, 2)]
    first, second, third = (sqlite.weights(version) for version in trained)

    assert first == second
    assert first != third
    assert [version.number for version in trained] == [1, 2, 3]


def test_a_dataset_that_does_not_fit_the_base_is_refused(sqlite: Workshop) -> None:
    base = sqlite.train(sqlite.job(sqlite.dataset(blobs(width=12)), training=SHORT))
    job = sqlite.job(sqlite.dataset(blobs(width=7)), base, kind="finetune", training=SHORT)
    with pytest.raises(RootstockError, match="7"):
        run(sqlite.claim(job.id))


def test_a_stale_token_publishes_nothing(sqlite: Workshop) -> None:
    job = sqlite.job(sqlite.dataset(blobs(rows=60)), training=SHORT)
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


def test_small_steps_are_computed_by_one_thread(sqlite: Workshop, used: list[int]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        sqlite.train(sqlite.job(sqlite.dataset(blobs(rows=60)), training=SHORT))
        assert set(used) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_are_those_of_the_first_start(
    sqlite: Workshop, used: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "SMALL_PRODUCT", -1)  # no step is small
    before = torch.get_num_threads()
    job = sqlite.job(sqlite.dataset(blobs(rows=60)), training=SHORT)
    stop = threading.Event()
    stop.set()
    reporter = sqlite.claim(job.id, stop)
    with pytest.raises(Stopped):
        run(reporter)
    with sqlite.database.session() as session:
        leases.leave(session, job.id, reporter.token)
    try:
        torch.set_num_threads(before + 1)
        sqlite.train(job)
        assert set(used) == {before}
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_model_of_scaled_pictures_reads_pictures_of_any_size(sqlite: Workshop) -> None:
    members = {
        f"{label}/{row}.png": picture(value + row, size=(8 + row % 3, 9))
        for label, value in (("dark", 10), ("light", 200))
        for row in range(30)
    }
    dataset = sqlite.dataset(to_zip(members), "pictures.zip", image_size=8)
    version = sqlite.train(sqlite.job(dataset, objective={"name": "classification"}, training={"epochs": 2}))

    with sqlite.database.reading() as session:
        held = objects.held(session, version.id)
    loaded = artifact.load({name: sqlite.storage.local(parts[0]) for name, parts in held.items()})
    uri = "data:image/png;base64," + base64.b64encode(picture(100, size=(31, 17))).decode()
    assert np.asarray(loaded.roles["input"].read([uri])).shape == (1, 8, 8, 1)


def test_a_table_with_categories_and_gaps_is_learned_and_asked_in_its_own_words(sqlite: Workshop) -> None:
    random = np.random.default_rng(0)
    lines = ["age,colour,kind"]
    for row in range(240):
        kind = "adult" if row % 2 else "child"
        age = "" if row % 9 == 0 else f"{random.integers(20, 60) if row % 2 else random.integers(1, 12)}"
        lines.append(f"{age},{('red', 'blue', 'green')[row % 3]},{kind}")
    dataset = sqlite.dataset(
        "\n".join(lines).encode(), "people.csv", columns={"label": "kind"}, cleaning={"non_finite": "impute"}
    )
    version = sqlite.train(sqlite.job(dataset, objective={"name": "classification"}, training=SHORT))

    assert version.metrics["accuracy"] > 0.8
    with sqlite.database.reading() as session:
        held = objects.held(session, version.id)
    loaded = artifact.load({name: sqlite.storage.local(parts[0]) for name, parts in held.items()})
    rows = loaded.roles["input"].read([[40, "red"], {"colour": "blue", "age": 5}, [None, "green"]])
    answers = loaded.network.predict(loaded.roles["input"].encode(rows))  # type: ignore[operator]
    assert [answer["label"] for answer in loaded.roles["target"].render(answers)[:2]] == ["adult", "child"]
    rebuilt = sqlite.train(sqlite.job(dataset, name="rebuilt", training={"epochs": 1}))
    assert rebuilt.abilities == ["embed", "reconstruct"]
    assert rebuilt.spec["roles"]["input"]["modality"]["columns"][1]["categories"] == ["blue", "green", "red"]


def test_a_table_of_numbers_is_asked_by_the_names_of_its_columns(sqlite: Workshop) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2)) * [10, 0.1] + [40, 1.7]

    def table(order: list[int]) -> Dataset:
        names = np.array(["age", "height"])[order]
        lines = [",".join(names), *(",".join(f"{number:.4f}" for number in row) for row in rows[:, order])]
        return sqlite.dataset("\n".join(lines).encode(), "people.csv")

    version = sqlite.train(sqlite.job(table([0, 1]), name="people", training={"epochs": 1}))
    with sqlite.database.reading() as session:
        held = objects.held(session, version.id)
    loaded = artifact.load({name: sqlite.storage.local(parts[0]) for name, parts in held.items()})
    read = loaded.roles["input"].read([{"height": 1.5, "age": 30}, [50, 2]])
    assert np.asarray(read).tolist() == [[30, 1.5], [50, 2]]
    with pytest.raises(RootstockError, match="column 1 of the dataset is 'height', and of the model 'age'"):
        sqlite.train(sqlite.job(table([1, 0]), base=version, name="others", training={"epochs": 1}))


def test_a_default_augmentation_is_tried_on_the_rows_before_it_is_used(sqlite: Workshop) -> None:
    """Views of centred strokes that lean one way: mirrored, they would lean the other."""
    random = np.random.default_rng(0)
    pixels = np.zeros((300, 12, 12), np.uint8)
    for drawn in pixels:
        for place in range(3 + random.integers(0, 2), 9):
            drawn[place, 10 - place : 12 - place] = random.integers(120, 256)
    dataset = sqlite.dataset({"images": pixels})
    job = sqlite.job(dataset, objective={"name": "contrastive"}, training={"epochs": 1})
    version = sqlite.train(job)

    assert version.spec["augmentation"]["name"] == "image"
    assert version.spec["augmentation"]["flip"] == 0
    done = sqlite.look(job)
    assert done.spec is not None
    assert done.spec["augmentation"] == version.spec["augmentation"]
    (choice,) = [choice for choice in done.choices or [] if choice["key"] == "augmentation"]
    assert "flip: changed rows lie" in choice["reason"]
    with sqlite.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 100)]
    assert any(message.startswith("augmentation tried on") for message in told)


def test_a_compiled_network_trains_and_is_served_as_it_is(sqlite: Workshop) -> None:
    """With torch's real compiler; `torch.compile` warns of things inside torch."""
    dataset = sqlite.dataset(blobs())
    training = SHORT | {"epochs": 3, "compile": True}
    job = sqlite.job(dataset, encoder={"name": "mlp", "widths": [8]}, training=training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = sqlite.train(job)
    assert version.metrics["mse"] < version.metrics["baselines"]["mean"]["mse"]
    with sqlite.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 100)]
    assert any(message.startswith("compiled in") for message in told), told


def test_a_job_that_cannot_be_compiled_is_trained_without(sqlite: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = sqlite.dataset(blobs())
    plain = sqlite.train(sqlite.job(dataset, training=SHORT))
    job = sqlite.job(dataset, training=SHORT | {"compile": True})
    monkeypatch.setattr(inductor.cpp, "cxx", ("/there/is/no/compiler",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = sqlite.train(job)
    assert sqlite.weights(version) == sqlite.weights(plain)
    with sqlite.database.reading() as session:
        (told,) = [event for event in events.after(session, job.id, 0, 100) if "training.compile" in event.message]
    assert told.level == "warn"
    assert "trained without" in told.message
