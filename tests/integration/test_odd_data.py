"""Data with nothing in them: every pretext objective ends with a model and finite figures, or with a named error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import DatasetFailed, DoesNotFit, OutOfRange, RootstockError
from app.registry import events
from app.registry.db import Database
from app.storage import storage_at
from tests.picture_archives import to_zip
from tests.sounds import sound, tone
from tests.workshop import Workshop
from worker.trainer import run

STEPPED = ["autoencoding", "denoising", "variational", "masked", "contrastive", "vicreg"]
BRIEF: dict[str, Any] = {"training": {"epochs": 2}}
SMALL: dict[str, Any] = {"encoder": {"name": "transformer", "preset": "nano"}}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    return Workshop(database, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


@pytest.mark.parametrize("objective", STEPPED)
def test_constant_rows(workshop: Workshop, objective: str) -> None:
    features = np.ones((60, 5), np.float32)
    dataset = workshop.dataset({"features": features, "label": np.arange(60) % 2}, cleaning={"duplicates": "keep"})
    training = {"epochs": 2, "batch_size": 512}
    version = workshop.train(workshop.job(dataset, objective={"name": objective}, training=training))
    assert json.dumps(version.metrics, allow_nan=False)


@pytest.mark.parametrize("objective", [*STEPPED, "next_token"])
def test_texts_of_one_repeated_word(workshop: Workshop, objective: str) -> None:
    lines = "\n".join(["text,label", *("no " * (1 + row % 3) + f",{row % 2}" for row in range(60))])
    modality = {"name": "text", "tokenizer": "words"}
    dataset = workshop.dataset(lines.encode(), "no.csv", modality="text", cleaning={"duplicates": "keep"})
    job = workshop.job(dataset, objective={"name": objective}, modality=modality, **SMALL, **BRIEF)
    assert json.dumps(workshop.train(job).metrics, allow_nan=False)


@pytest.mark.parametrize(
    "body",
    [
        {"objective": {"name": "next_token"}},
        {"objective": {"name": "alignment"}},
        {"objective": {"name": "masked"}, "encoder": {"name": "transformer"}},
        {"objective": {"name": "denoising", "noise": "gaussian"}, "modality": {"name": "text"}},
    ],
)
def test_what_cannot_work_is_named(workshop: Workshop, body: dict[str, Any]) -> None:
    dataset = workshop.dataset({"features": np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)})
    with pytest.raises(DoesNotFit):
        run(workshop.claim(workshop.job(dataset, **body).id))


def test_a_single_column_cannot_be_masked(workshop: Workshop) -> None:
    dataset = workshop.dataset({"features": np.random.default_rng(0).normal(size=(60, 1)).astype(np.float32)})
    with pytest.raises(RootstockError, match="a single one"):
        run(workshop.claim(workshop.job(dataset, objective={"name": "masked"}).id))


def test_an_embedding_wider_than_the_row(workshop: Workshop) -> None:
    dataset = workshop.dataset({"features": np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)})
    wide: dict[str, Any] = {"encoder": {"name": "auto", "dimensions": 9}}
    assert workshop.train(workshop.job(dataset, **wide, **BRIEF)).dimensions == 9
    with pytest.raises(OutOfRange, match="9 asked, and a row has 4 numbers"):
        run(workshop.claim(workshop.job(dataset, objective={"name": "pca"}, **wide).id))


def test_a_single_row(workshop: Workshop) -> None:
    dataset = workshop.dataset({"features": np.ones((1, 4), np.float32)})
    assert dataset.status == "failed"
    with pytest.raises(DatasetFailed, match=r"failed: .*a single row; a dataset needs at least 2"):
        workshop.job(dataset)


@pytest.mark.parametrize("rows", [60, 600])
def test_labels_that_are_all_equal(workshop: Workshop, rows: int) -> None:
    """Too few to judge by, and enough."""
    features = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    dataset = workshop.dataset({"features": features, "label": np.array(["oak"] * rows)})
    assert json.dumps(workshop.train(workshop.job(dataset, **BRIEF)).metrics, allow_nan=False)
    with pytest.raises(OutOfRange, match=r"needs at least 2 classes; the dataset has \['oak'\]"):
        run(workshop.claim(workshop.job(dataset, objective={"name": "classification"}).id))


@pytest.mark.parametrize("objective", ["autoencoding", "masked", "next_token"])
def test_a_vocabulary_of_two(workshop: Workshop, objective: str) -> None:
    draw = np.random.default_rng(0)
    lines = [" ".join(draw.choice(["to", "be"], draw.integers(1, 9))) for _ in range(60)]
    dataset = workshop.dataset("\n".join(["text", *lines]).encode(), "be.csv", modality="text")
    body: dict[str, Any] = {"objective": {"name": objective}, "modality": {"name": "text", "tokenizer": "words"}}
    assert json.dumps(workshop.train(workshop.job(dataset, **body, **SMALL, **BRIEF)).metrics, allow_nan=False)


def test_sounds_shorter_than_a_window(workshop: Workshop) -> None:
    clips = {f"{n}.wav": sound(tone(hertz=200 + 40 * n, seconds=0.01)) for n in range(30)}
    dataset = workshop.dataset(to_zip(clips), "clips.zip", modality="audio")
    assert dataset.status == "ready", dataset.report
    assert json.dumps(workshop.train(workshop.job(dataset, **BRIEF)).metrics, allow_nan=False)


def split_table(labelled: range) -> bytes:
    """A table of 60 rows, 40 to learn from and 20 to test with; those of `labelled` and of test have labels."""
    drawn = np.random.default_rng(0)
    lines = ["a,b,label,split"]
    for row in range(60):
        kind, test = row % 2, row >= 40
        label = "ab"[kind] if test or row in labelled else ""
        split = "test" if test else "validation" if row >= 30 else "train"
        lines.append(f"{drawn.normal(3 * kind):.4f},{drawn.normal(kind):.4f},{label},{split}")
    return "\n".join(lines).encode()


def test_labels_none_of_which_are_in_the_validation_split(workshop: Workshop) -> None:
    dataset = workshop.dataset(split_table(range(8)), "few.csv")
    base = workshop.train(workshop.job(dataset, **BRIEF))
    job = workshop.job(dataset, base, kind="finetune", training={"epochs": 20})
    assert workshop.train(job).metrics["accuracy"] > 0.5
    with workshop.database.reading() as session:
        said = [event.message for event in events.after(session, job.id, 0, 100)]
    assert any(message.startswith("0 validation rows are too few to choose") for message in said)
    assert not any(name.startswith("validation") for name in workshop.look(job).metrics or {})


def test_labels_none_of_which_are_outside_of_the_training_split(workshop: Workshop) -> None:
    dataset = workshop.dataset(
        split_table(range(8)).replace(b",a,test", b",,test").replace(b",b,test", b",,test"), "few.csv"
    )
    base = workshop.train(workshop.job(dataset, **BRIEF))
    assert "accuracy" not in workshop.train(workshop.job(dataset, base, kind="finetune", **BRIEF)).metrics
