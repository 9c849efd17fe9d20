"""Targets that are no classes, from a file to a published model that predicts."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from app.errors import OutOfRange
from app.ml import artifact
from app.registry.db import Database
from app.registry.tables import Version
from app.storage import storage_at
from tests.workshop import Workshop


@pytest.fixture
def workshop(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    return Workshop(
        sqlite_registry, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home"
    )


def load(workshop: Workshop, version: Version) -> artifact.Artifact:
    return artifact.load(workshop.files_of(version))


def test_a_graft_predicts_numbers_in_their_unit(workshop: Workshop) -> None:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.loc[::10, "target"] = float("nan")
    dataset = workshop.dataset(frame.to_csv(index=False).encode(), "diabetes.csv", columns={"value": "target"})
    target = (dataset.profile or {})["target"]
    assert (target["modality"], target["missing"], target["mean"]) == (
        "numbers",
        45,
        pytest.approx(frame.target.mean(), rel=1e-5),
    )
    base = workshop.train(workshop.job(dataset, training={"epochs": 5}))
    assert base.metrics["baselines"].keys() == {"mean", "pca", "untrained"}
    version = workshop.train(workshop.job(dataset, base, kind="finetune", name="progression"))
    assert version.spec["objective"]["name"] == "regression"
    assert version.metrics["rmse"] < version.metrics["baselines"]["mean"]["rmse"]
    assert version.metrics["baselines"]["ridge"]["rmse"] < version.metrics["baselines"]["mean"]["rmse"]
    assert version.metrics["r2"] > 0.2 > 0.1 > version.metrics["baselines"]["mean"]["r2"]
    model = load(workshop, version)
    values = model.roles["input"].encode(frame.drop(columns="target").to_numpy(np.float32))
    rendered = model.roles["target"].render(artifact.ask(model.network, "predict", values))
    answers = np.array([item["value"] for item in rendered])
    known = frame.target.notna()
    assert np.corrcoef(answers[known], frame.target[known])[0, 1] > 0.5


def test_numbers_that_are_all_the_same_are_refused_by_name(workshop: Workshop) -> None:
    content = "a,b,y\n" + "".join(f"{row},{row % 7},3\n" for row in range(60))
    dataset = workshop.dataset(content.encode(), "flat.csv", columns={"value": "y"})
    with pytest.raises(OutOfRange, match="all have the number 3"):
        workshop.train(workshop.job(dataset, objective={"name": "regression"}))


def test_tags(workshop: Workshop) -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(400, 6))
    lines = [
        ",".join(f"{value:.4f}" for value in row) + "," + "|".join(np.array(["wet", "cold", "dark"])[row[:3] > 0.3])
        for row in rows
    ]
    dataset = workshop.dataset(("a,b,c,d,e,f,tags\n" + "\n".join(lines)).encode(), "w.csv", columns={"tags": "tags"})
    assert (dataset.profile or {})["target"]["labels"] == ["cold", "dark", "wet"]
    job = workshop.job(dataset, objective={"name": "tagging"}, training={"epochs": 20})
    version = workshop.train(job)
    assert version.metrics["average_precision"] > version.metrics["baselines"]["frequency"]["average_precision"] + 0.3
    model = load(workshop, version)
    values = model.roles["input"].encode(np.array([[2, -2, 2, 0, 0, 0]], np.float32))
    (answer,) = model.roles["target"].render(artifact.ask(model.network, "predict", values))
    assert sorted(answer["labels"]) == ["dark", "wet"]
