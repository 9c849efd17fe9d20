"""Rows that are series: arrays of rows by steps by channels, read by convolutions along the steps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import DoesNotFit, OutOfRange
from app.registry.db import Database
from app.storage import storage_at
from tests.workshop import Workshop

STEPS, CHANNELS = 48, 2


@pytest.fixture
def sqlite(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def waves(rows: int = 300) -> dict[str, NDArray[Any]]:
    """Series [rows, steps, channels] with a rising or a falling chirp somewhere, in noise."""
    random = np.random.default_rng(0)
    label = random.integers(0, 2, rows)
    series = random.normal(0, 0.2, (rows, STEPS, CHANNELS))
    for row, kind in enumerate(label):
        start, time = random.integers(0, STEPS - 16), np.arange(16)
        chirp = np.sin(0.2 * time**1.7)
        series[row, start : start + 16] += (chirp if kind else chirp[::-1])[:, None]
    return {"features": series.astype(np.float32), "label": label.astype(str)}


def test_series_are_embedded_by_default_and_grafted_on_as_well_as_their_statistics_tell_them(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(waves())
    version = sqlite.train(sqlite.job(dataset))
    assert version.spec["objective"]["name"] == "rocket"
    assert version.spec["roles"]["input"]["encoder"]["channels"] == CHANNELS
    metrics = version.metrics
    for name in ("knn_accuracy", "linear_accuracy"):
        assert metrics[name] > 0.85
        assert metrics[name] >= metrics["baselines"]["statistics"][name]
    training = {"epochs": 5, "batch_size": 32}
    graft = sqlite.train(sqlite.job(dataset, base=version, kind="finetune", name="graft", training=training))
    assert graft.spec["roles"]["input"]["encoder"]["name"] == "kernels"
    assert graft.metrics["accuracy"] > 0.85


def test_kernels_are_settled_before_they_tell_classes_of_series(sqlite: Workshop) -> None:
    """By the first step already, better than any single step from nothing could."""
    dataset = sqlite.dataset(waves())
    training = {"epochs": 1, "learning_rate": 1e-6}

    def trained(**encoder: Any) -> Any:
        job = sqlite.job(dataset, objective={"name": "classification"}, training=training, **encoder)
        return sqlite.train(job)

    version = trained()
    assert version.spec["roles"]["input"]["encoder"]["name"] == "kernels"
    assert version.metrics["accuracy"] > 0.9
    assert version.metrics["accuracy"] > trained(encoder={"name": "mlp"}).metrics["accuracy"] + 0.2


def test_more_dimensions_than_kernels_tell_are_refused_by_whatever_learns(sqlite: Workshop) -> None:
    encoder = {"name": "kernels", "kernels": 2, "dimensions": 200}
    job = sqlite.job(sqlite.dataset(waves(60)), encoder=encoder, objective={"name": "classification"})
    with pytest.raises(OutOfRange, match=r"dimensions: 200 asked, and \d+ numbers are told of a series"):
        sqlite.train(job)


def test_rows_that_a_job_calls_series_are_such(sqlite: Workshop) -> None:
    table = waves()
    table["features"] = table["features"][:, :, 0]
    dataset = sqlite.dataset(table)
    assert dataset.profile is not None
    assert "channels" not in dataset.profile["input"]
    version = sqlite.train(sqlite.job(dataset, modality={"name": "vectors", "channels": 1}))
    assert version.spec["objective"]["name"] == "rocket"
    assert "statistics" in version.metrics["baselines"]
    job = sqlite.job(dataset, modality={"name": "vectors", "channels": 7})
    with pytest.raises(DoesNotFit, match=r"modality.channels: rows of 48 numbers are no series of 7 channels"):
        sqlite.train(job)


def test_a_narrow_embedding_of_series_is_a_code_to_rebuild_them_from(sqlite: Workshop) -> None:
    training = {"epochs": 1}
    encoder = {"name": "auto", "dimensions": 8}
    version = sqlite.train(sqlite.job(sqlite.dataset(waves(60)), encoder=encoder, training=training))
    assert version.spec["objective"]["name"] == "autoencoding"
    assert version.metrics["mse"] > 0


def test_convolutions_tell_what_stands_anywhere_in_a_series(sqlite: Workshop) -> None:
    dataset = sqlite.dataset(waves(), modality="vectors")
    assert dataset.profile is not None
    assert dataset.profile["input"]["shape"] == [STEPS * CHANNELS]
    training = {"epochs": 12, "batch_size": 32}
    objective = {"name": "classification"}

    def accuracy(encoder: dict[str, Any]) -> float:
        version = sqlite.train(sqlite.job(dataset, encoder=encoder, objective=objective, training=training))
        return float(version.metrics["accuracy"])

    along = accuracy({"name": "cnn", "width": 8, "channels": CHANNELS})
    assert along > 0.85
    assert along > accuracy({"name": "mlp", "preset": "nano"})
