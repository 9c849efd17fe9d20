"""Texts from upload to model: solved objectives, their metrics and grafts, and what an interruption leaves."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import DoesNotFit, WrongShape
from app.registry import metrics
from app.registry.db import Database
from app.registry.tables import Dataset
from app.storage import storage_at
from tests.workshop import Workshop, blobs
from worker.trainer import run

TOPICS = {"tree": "oak elm ash yew fir beech lime alder", "food": "bread butter jam milk cheese honey salt oats"}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    return Workshop(database, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


def topics(workshop: Workshop, rows: int = 400) -> Dataset:
    draw = np.random.default_rng(0)
    names = [draw.choice(list(TOPICS)) for _ in range(rows)]
    lines = [f"{name},{' '.join(draw.choice(TOPICS[name].split(), draw.integers(2, 9)))}" for name in names]
    made = workshop.dataset("\n".join(["label,text", *lines]).encode(), "texts.csv", modality="text")
    assert made.status == "ready", made.report
    return made


def test_texts_pretrain_by_default_and_take_a_graft(workshop: Workshop) -> None:
    dataset = topics(workshop)
    job = workshop.job(dataset, encoder={"name": "auto", "dimensions": 8})
    base = workshop.train(job)

    assert (base.modality, base.dimensions, base.abilities) == ("text", 8, ["embed"])
    assert base.metrics["knn_accuracy"] > 0.9
    assert set(base.metrics["baselines"]) == {"tfidf_svd", "untrained"}
    done = workshop.look(job)
    assert (done.status, done.progress["percentage_done"]) == ("succeeded", 100.0)
    assert done.spec is not None
    assert done.spec["roles"]["input"]["modality"]["tokenizer"] == "words"
    graft = workshop.train(workshop.job(dataset, base, kind="finetune", name="graft", training={"epochs": 20}))
    assert graft.abilities == ["embed", "predict"]
    assert graft.metrics["accuracy"] > 0.9


def test_a_job_is_judged_by_the_words_that_it_names(workshop: Workshop) -> None:
    dataset = topics(workshop)
    topic = {word: name for name, line in TOPICS.items() for word in line.split()}
    alike = [f"{a}\t{b}\t{9 if topic[a] == topic[b] else 1}" for a, b in itertools.combinations(topic, 2)]
    asked = {
        "word_pairs": given(workshop, "\n".join([*alike, "oak\tunheard\t5"])),
        "analogies": given(workshop, ": trees\noak elm milk jam\n"),
    }
    body: dict[str, Any] = {"objective": {"name": "word_embeddings"}, "evaluation": asked}
    version = workshop.train(workshop.job(dataset, **body, encoder={"name": "words", "dimensions": 4}))

    told = version.metrics
    assert (told["word_pairs"], told["word_pairs_known"]) == (121, 120)
    assert told["word_similarity"] > 0.7
    assert (told["analogies"], told["analogies_known"]) == (1, 1)
    assert told["analogy_accuracy"] in (0.0, 1.0)
    assert abs(told["baselines"]["untrained"]["word_similarity"]) < 0.5
    broken = workshop.job(dataset, **body | {"evaluation": {"analogies": given(workshop, "a b c d\na b c")}})
    with pytest.raises(WrongShape, match="analogies: line 2 has 3 words"):
        run(workshop.claim(broken.id))
    of_numbers = workshop.job(workshop.dataset(blobs()), evaluation=asked)
    with pytest.raises(DoesNotFit, match="for models that embed texts"):
        run(workshop.claim(of_numbers.id))


def given(workshop: Workshop, text: str) -> str:
    """The id of a file of that content."""
    return workshop.file(text.encode(), "words.txt", "user_data")


@pytest.mark.parametrize("objective", ["pca", "tfidf_svd", "word_embeddings", "sentence_embeddings"])
def test_an_interrupted_solving_ends_with_the_same_weights(workshop: Workshop, objective: str) -> None:
    dataset = topics(workshop, 200) if objective != "pca" else workshop.dataset(blobs(labels=False))
    body: dict[str, Any] = {"objective": {"name": objective}, "encoder": {"name": "auto", "dimensions": 4}}
    whole = workshop.train(workshop.job(dataset, **body))
    interrupted = workshop.job(dataset, **body)
    workshop.leave(interrupted)
    assert workshop.weights(workshop.train(interrupted)) == workshop.weights(whole)
    with workshop.database.reading() as session:
        series = metrics.series(session, interrupted.id, limit=10)
        assert {point.name for point in series} == ({"mse"} if objective == "pca" else set())
