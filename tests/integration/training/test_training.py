"""A job in this process: what its training, its choices and its end give."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.registry import events, metrics, models
from tests.workshop import Workshop, blobs
from worker.evaluation.protocol import evaluate
from worker.publishing import publication
from worker.timing import pace, speed

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32}


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


def test_a_training_that_is_judged_says_so_and_shows_no_rate(sqlite: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT)
    seen: list[dict[str, Any]] = []
    told: list[str] = []

    def look(*what: Any) -> Any:
        seen.append(sqlite.look(job).progress)
        with sqlite.database.reading() as session:
            told.extend(event.message for event in events.after(session, job.id, 0, 1000)[-1:])
        return evaluate(*what)

    monkeypatch.setattr(publication, "evaluate", look)
    sqlite.train(job)

    ended = sqlite.look(job).progress
    assert told == ["evaluates the model and simple answers on held-out rows"]
    assert [(each["stage"], each["samples_per_second"], each["percentage_done"]) for each in seen] == [
        ("evaluating", None, 100.0)
    ]
    assert "stage" not in ended
    assert ended["samples_per_second"] > 0


def test_a_graft_on_a_base_predicts(workshop: Workshop) -> None:
    dataset = workshop.dataset(blobs())
    base = workshop.train(workshop.job(dataset, training=SHORT))
    graft = workshop.train(workshop.job(dataset, base, kind="finetune", name="graft", training=SHORT))

    assert graft.parent_id == base.id
    assert graft.abilities == ["embed", "predict"]
    assert graft.metrics["accuracy"] > graft.metrics["baselines"]["majority"]["accuracy"] + 0.2


def test_a_time_budget_ends_with_its_schedule(sqlite: Workshop) -> None:
    training = {"epochs": 100_000, "batch_size": 32, "max_seconds": 2, "early_stopping": None}
    job = sqlite.job(sqlite.dataset(blobs(labels=False)), training=training)
    begun = time.monotonic()
    sqlite.train(job)

    progress = sqlite.look(job).progress
    assert progress["step"] == progress["max_steps"] < 100_000
    assert progress["max_epoch"] < 100_000
    assert time.monotonic() - begun < 100, "all epochs would take far longer on any machine"


def test_a_time_budget_of_few_steps_is_told_with_what_to_do(sqlite: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "mean_without_slowest", lambda times: 1.0)
    few = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT | {"epochs": 100_000, "max_seconds": 2})
    enough = sqlite.job(sqlite.dataset(blobs(labels=False)), training=SHORT | {"epochs": 1, "max_seconds": 1000})
    for job, warned in ((few, True), (enough, False)):
        sqlite.train(job)
        with sqlite.database.reading() as session:
            told = [event.message for event in events.after(session, job.id, 0, 1000)]
        assert any("so few steps fit into it: give more max_seconds" in message for message in told) is warned


def test_early_stopping_keeps_the_best_weights(sqlite: Workshop) -> None:
    training = SHORT | {"epochs": 400, "early_stopping": {"patience": 3}, "schedule": "constant"}
    job = sqlite.job(sqlite.dataset(blobs(rows=1200, labels=False)), encoder={"name": "mlp"}, training=training)
    sqlite.train(job)

    with sqlite.database.reading() as session:
        points = metrics.series(session, job.id, limit=1000, split="validation", name="loss")
        told = [event.message for event in events.after(session, job.id, 0, 1000)]
    progress = sqlite.look(job).progress
    assert progress["step"] < progress["max_steps"]
    assert progress["best_step"] == min(points, key=lambda point: point.value or 0.0).step
    assert any("stopped early" in message for message in told)


def test_components_are_kept_where_no_step_is_better(sqlite: Workshop) -> None:
    """Rows in a plane, which two components redraw exactly."""
    drawn = np.random.default_rng(0)
    plane = (drawn.normal(size=(300, 2)) @ drawn.normal(size=(2, 9))).astype(np.float32)
    training = SHORT | {"learning_rate": 1e-2}
    objective = {"name": "autoencoding", "residual": True, "shrinkage": 0.0}
    job = sqlite.job(
        sqlite.dataset({"features": plane}),
        encoder={"name": "auto", "dimensions": 2},
        objective=objective,
        training=training,
    )
    version = sqlite.train(job)

    progress = sqlite.look(job).progress
    assert progress["best_step"] == 0 < progress["step"]
    with sqlite.database.reading() as session:
        assert any("which is kept" in event.message for event in events.after(session, job.id, 0, 1000))
    assert version.metrics["mse"] == pytest.approx(version.metrics["baselines"]["pca"]["mse"], abs=1e-9)


def test_few_validation_rows_choose_nothing(sqlite: Workshop) -> None:
    objective = {"name": "autoencoding", "residual": False}
    training = SHORT | {"early_stopping": {"patience": 1}}
    job = sqlite.job(sqlite.dataset(blobs(rows=60, labels=False)), objective=objective, training=training)
    sqlite.train(job)

    progress = sqlite.look(job).progress
    assert progress["best_step"] == progress["step"] == progress["max_steps"]


def test_few_validation_rows_are_enough_to_stay_with_a_solution(sqlite: Workshop) -> None:
    wide = np.random.default_rng(0).normal(size=(60, 2100)).astype(np.float32)  # noise: there is nothing to learn
    job = sqlite.job(sqlite.dataset({"features": wide}), training=SHORT)
    version = sqlite.train(job)

    assert sqlite.look(job).progress["best_step"] == 0
    assert version.metrics["mse"] == pytest.approx(version.metrics["baselines"]["pca"]["mse"], rel=1e-3)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(blobs(rows=100, labels=False))
    training = SHORT | {"precision": "fp32"}  # on a GPU, measuring would choose
    trained = [sqlite.train(sqlite.job(dataset, training=training | {"seed": seed})) for seed in (1, 1, 2)]
    first, second, third = (sqlite.weights(version) for version in trained)

    assert first == second
    assert first != third
    assert [version.number for version in trained] == [1, 2, 3]


@pytest.mark.parametrize("large", [True, False])
def test_bf16_is_measured_where_products_are_large(
    sqlite: Workshop, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """It is chosen where it is as much faster as it must be; a processor without it is not asked."""
    images = np.random.default_rng(0).integers(0, 256, (80, 12, 12), np.uint8)
    monkeypatch.setattr(speed, "has_bf16", lambda device: True)
    monkeypatch.setattr(pace, "CLEARLY_FASTER", 0.0)
    monkeypatch.setattr(speed, "WORTH_MEASURING", 1 if large else 2**62)
    job = sqlite.job(
        sqlite.dataset({"images": images}), encoder={"name": "cnn", "preset": "nano"}, training={"epochs": 1}
    )
    version = sqlite.train(job)

    with sqlite.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 1000) if "precision" in event.message]
    assert [message.split(":")[0] for message in told] == (["precision bf16"] if large else [])
    assert np.isfinite(version.metrics["effective_rank"])


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


WHOLE = """
import sys
from pathlib import Path
from app.registry.db import Database
from app.storage import storage_at
from tests.workshop import Workshop, blobs
home = Path(sys.argv[1])
database = Database(f"sqlite:///{home}/registry.db")
database.migrate()
workshop = Workshop(database, storage_at(home.as_uri(), home / "cache", 2**26), home)
dataset, training = workshop.dataset(blobs(rows=60)), {"epochs": 1}
base = workshop.train(workshop.job(dataset, training=training))
workshop.train(workshop.job(dataset, base, kind="finetune", name="graft", training=training))
print({"sympy", "torch._dynamo"} & set(sys.modules))
"""


def test_a_job_imports_no_compiler(tmp_path: Path) -> None:
    """Neither its steps nor what counts their products, probes its embedding or solves its head: it takes seconds."""
    told = subprocess.check_output([sys.executable, "-W", "error", "-c", WHOLE, str(tmp_path)], text=True)
    assert told == "set()\n"
