"""Judging a published model on a dataset through a job: on its own data, on other rows, and where that cannot be."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.errors import DoesNotFit
from app.registry import keys
from app.registry.tables import Dataset, Version
from app.settings import Settings
from tests import bert_folder
from tests.integration.api.conftest import House, serve
from tests.integration.api.faults import refused
from tests.workshop import Workshop, blobs
from worker.evaluation import probes
from worker.handlers import evaluating, importing
from worker.progress import Stopped

SHORT = {"epochs": 3}


class Bench:
    """A server, a worker's handlers in this process, and labelled rows."""

    def __init__(self, house: House, home: Path) -> None:
        self.workshop = Workshop(house.database, house.storage, home)
        with house.database.session() as session:
            secret = keys.create_key(session, self.workshop.project_id, "test", ("read", "infer", "train"))[1]
        self.client: httpx.Client = house.client(secret)
        self.rows = self.workshop.dataset(blobs())

    def train(self, dataset: Dataset, **body: Any) -> Version:
        return self.workshop.train(self.workshop.job(dataset, training=SHORT, **body))

    def ask(self, model: str, dataset: str, **body: Any) -> httpx.Response:
        return self.client.post("/v1/jobs", json={"kind": "evaluate", "model": model, "dataset": dataset, **body})

    def judge(self, model: str, dataset: Dataset, **body: Any) -> Any:
        """The job, done."""
        job = self.ask(model, dataset.id, **body).raise_for_status().json()
        evaluating.run(self.workshop.claim(job["id"]))
        return self.client.get(f"/v1/jobs/{job['id']}").json()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home = tmp_path_factory.mktemp("bench")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        made = Bench(house, home)
        with contextlib.closing(made.client):
            yield made


@pytest.mark.parametrize("objective", ["autoencoding", "pca", "classification"])
def test_on_its_own_data_a_model_gets_the_figures_of_its_publication(bench: Bench, objective: str) -> None:
    version = bench.train(bench.rows, name=objective, objective={"name": objective})
    done = bench.judge(objective, bench.rows, metadata={"a": "b"})
    assert (done["status"], done["base_model"], done["model"]) == ("succeeded", f"{objective}:1", None)
    assert (done["metadata"], done["spec"]["model"]) == ({"a": "b"}, f"{objective}:1")
    assert done["metrics"] == version.metrics
    assert done["metrics"]["baselines"]


def test_other_rows_give_other_figures_beside_the_same_baselines(bench: Bench) -> None:
    version = bench.train(bench.rows, name="rows", encoder={"name": "mlp", "preset": "nano", "dimensions": 2})
    shifted = bench.workshop.dataset({"features": 3 * blobs(labels=False)["features"]})
    found = bench.judge("rows@default", shifted)["metrics"]
    assert found["mse"] > 2 * version.metrics["mse"]
    assert {"pca", "mean"} <= set(found["baselines"])
    assert "knn_accuracy" not in found, "these rows have no labels"


def test_an_accuracy_on_few_rows_stands_beside_the_commonest_class_and_claims_no_interval(bench: Bench) -> None:
    few = bench.workshop.dataset({name: values[:60] for name, values in blobs().items()})
    metrics = bench.train(few, name="few", objective={"name": "classification"}).metrics
    assert metrics["rows_judged"] == 6
    assert set(metrics["baselines"]["majority"]) == {"accuracy"}
    assert not {"accuracy", "knn_accuracy"} & set(metrics.get("intervals", {}))
    assert 0 <= metrics["accuracy"] <= 1


def test_where_labels_of_the_test_rows_are_withheld_the_validation_rows_judge(bench: Bench) -> None:
    found = blobs()
    splits = ["train"] * 300 + ["validation"] * 50 + ["test"] * 50
    rows = [
        ",".join([*map(str, values), "" if split == "test" else label, split])
        for values, label, split in zip(found["features"], found["label"], splits, strict=True)
    ]
    head = ",".join([*(f"f{place}" for place in range(12)), "label", "split"])
    secret = bench.workshop.dataset("\n".join([head, *rows]).encode(), "rows.csv")
    assert "no row of test has a label: how well models tell labels" in " ".join((secret.profile or {})["warnings"])
    metrics = bench.train(secret, name="secret", objective={"name": "classification"}).metrics
    assert (metrics["split"], metrics["rows_judged"]) == ("validation", 50)
    assert metrics["accuracy"] > metrics["baselines"]["majority"]["accuracy"]
    assert bench.judge("secret", secret)["metrics"] == metrics
    assert bench.train(secret, name="rebuilt", objective={"name": "autoencoding"}).metrics["split"] == "test"


def test_an_encoder_from_elsewhere_is_judged_on_labelled_texts(bench: Bench) -> None:
    form = {"file": ("tiny.zip", io.BytesIO(bert_folder.zipped(bert_folder.files())), "application/zip")}
    job = bench.client.post("/v1/models/import", data={"name": "tiny"}, files=form).json()
    importing.run(bench.workshop.claim(job["id"]))
    words, draw = {"plant": ["tree", "root", "rose"], "mark": ["!", "is", "東"]}, np.random.default_rng(0)
    names = [str(draw.choice(list(words))) for _ in range(400)]
    lines = [f"{name},{' '.join(draw.choice(words[name], draw.integers(2, 6)))}" for name in names]
    texts = bench.workshop.dataset("\n".join(["label,text", *lines]).encode(), "texts.csv", modality="text")
    found = bench.judge("tiny", texts)["metrics"]
    assert found["linear_accuracy"] > 0.8
    assert {"tfidf_svd", "untrained"} <= set(found["baselines"])


def test_what_cannot_be_judged_is_refused(bench: Bench) -> None:
    bench.train(bench.rows, name="labels", objective={"name": "classification"})
    refused(bench.ask("nobody", bench.rows.id), 404, "model_not_found", "model")
    refused(bench.ask("labels", "ds-no"), 404, "not_found", "dataset")
    refused(bench.ask("labels", bench.rows.id, split="test"), 422, "unknown_key", "split")
    vowels = b"text\n" + b"\n".join(b"a e i o u" + b" y" * (row % 9) for row in range(200))
    made = bench.workshop.dataset(vowels, "texts.csv", modality="text")
    message = refused(bench.ask("labels", made.id), 422, "does_not_fit", "dataset")
    assert message.startswith(
        f"model labels:1 cannot be evaluated on dataset {made.id}: its 'input' is text, and the network"
    )
    for given, says in (
        (blobs(labels=False), "no 'target'"),
        (blobs(width=7), "its 'input' has the shape [7], and the network was made for [12]"),
    ):
        answer = bench.ask("labels", bench.workshop.dataset(given).id)
        assert says in refused(answer, 422, "does_not_fit", "dataset")
    others = {**blobs(), "label": np.array([f"other {name}" for name in blobs()["label"]])}
    job = bench.ask("labels", bench.workshop.dataset(others).id).raise_for_status().json()
    with pytest.raises(DoesNotFit, match=r"model labels:1 cannot be evaluated on dataset ds-.*other"):
        evaluating.run(bench.workshop.claim(job["id"]))


def test_it_leaves_in_the_midst_when_it_is_asked_to(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.train(bench.rows, name="left", objective={"name": "pca"})
    job = bench.ask("left", bench.rows.id).raise_for_status().json()
    reporter = bench.workshop.claim(job["id"])
    judged: list[int] = []
    nearest = probes.nearest_right

    def cancelled(rows: probes.Labelled) -> Any:
        judged.append(len(rows.test_labels))
        reporter.stop.set()
        return nearest(rows)

    monkeypatch.setattr(probes, "nearest_right", cancelled)
    with pytest.raises(Stopped):
        evaluating.run(reporter)
    assert len(judged) == 1, "the baselines were left alone"
    assert bench.client.get(f"/v1/jobs/{job['id']}").json()["metrics"] == {}
