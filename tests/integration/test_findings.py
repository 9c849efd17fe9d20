"""What goes wrong with a training is told in words where its owner looks: among the job's events, once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.registry import events, metrics
from app.registry.db import Database
from app.storage import storage_at
from tests.workshop import Workshop, blobs

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def workshop(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def guessed() -> Arrays:
    """Labels that no feature tells: they can be learned by heart alone."""
    drawn = np.random.default_rng(0)
    return {
        "features": drawn.normal(size=(300, 20)).astype(np.float32),
        "label": drawn.choice(["heads", "tails"], 300),
    }


TRAININGS: dict[str, tuple[Arrays, dict[str, Any], dict[str, Any]]] = {
    "overfits": (guessed(), {"objective": {"name": "classification"}}, {"epochs": 40, "learning_rate": 1e-2}),
    "diverges": (
        blobs(labels=False),
        {"objective": {"name": "autoencoding", "residual": False}, "encoder": {"name": "mlp", "norm": "none"}},
        {"epochs": 20, "learning_rate": 3.0, "optimizer": "adam"},
    ),
    "underfits": (
        blobs(labels=False),
        {"objective": {"name": "autoencoding", "residual": False}},
        {"epochs": 10, "learning_rate": 3e-6},
    ),
    "collapses": (
        blobs(rows=3000, labels=False),
        {"objective": {"name": "autoencoding", "residual": False}, "encoder": {"name": "mlp", "preset": "reference"}},
        {"epochs": 10, "learning_rate": 1.0, "optimizer": "adam"},
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_job_says_what_goes_wrong_with_it(workshop: Workshop, name: str) -> None:
    data, body, training = TRAININGS[name]
    job = workshop.job(workshop.dataset(data), training={"early_stopping": None, **training}, **body)
    workshop.train(job)
    with workshop.database.reading() as session:
        told = [event for event in events.after(session, job.id, 0, 1000) if event.data and "finding" in event.data]
    (finding,) = [event for event in told if event.data["finding"] == name]
    assert finding.level == "warn"
    assert "; try" in finding.message.lower() or ". try" in finding.message.lower()


def test_a_training_that_goes_well_is_not_scolded(workshop: Workshop) -> None:
    job = workshop.job(workshop.dataset(blobs(rows=4000, labels=False)), training={"epochs": 10})
    workshop.train(job)
    with workshop.database.reading() as session:
        assert not [event for event in events.after(session, job.id, 0, 1000) if event.level == "warn"]


def test_a_solution_that_no_step_betters_is_compared_with_and_kept(workshop: Workshop) -> None:
    """Targets that a linear regression, which is settled before the first step, tells all there is of."""
    drawn = np.random.default_rng(0)
    features = drawn.normal(size=(400, 6)).astype(np.float32)
    data: Arrays = {"features": features, "target": features @ np.arange(6, dtype=np.float32)}
    training = {"epochs": 10, "learning_rate": 1e-2, "early_stopping": None}
    job = workshop.job(workshop.dataset(data), objective={"name": "regression", "residual": True}, training=training)
    workshop.train(job)
    with workshop.database.reading() as session:
        told = events.after(session, job.id, 0, 1000)
        curve = metrics.series(session, job.id, limit=1000, split="validation", name="loss")
    assert curve[0].step == 0
    assert curve[0].value == min(point.value for point in curve if point.value is not None)
    assert workshop.look(job).progress["best_step"] == 0
    assert [event.message for event in told if event.level == "warn"] == []
    (message,) = [event.message for event in told if "which is kept" in event.message]
    assert f"loss was {curve[0].value:.4g} then" in message
