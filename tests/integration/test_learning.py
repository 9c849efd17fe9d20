"""Every pretext of texts and recordings is told better after a short training than by the network as it was drawn.

The texts are Python's own reference, which every installation has; the recordings are tones of known pitch.
"""

import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from app.registry.db import Database
from app.registry.tables import Dataset
from app.storage import storage_at
from tests.picture_archives import to_zip
from tests.sounds import sound, tone
from tests.workshop import Workshop
from worker.preparation import prepare
from worker.trainer import Trainer

BRIEF: dict[str, Any] = {"training": {"epochs": 4, "batch_size": 32, "learning_rate": 3e-3, "early_stopping": None}}
SMALL: dict[str, Any] = {"encoder": {"name": "transformer", "preset": "nano"}}


@pytest.fixture
def workshop(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")


def before_and_after(workshop: Workshop, dataset: Dataset, **body: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Scores on the validation split of the network as it was drawn, and of the one that would be published."""
    assert dataset.status == "ready", dataset.report
    reporter = workshop.claim(workshop.job(dataset, **BRIEF, **body).id)
    trainer = Trainer(reporter, prepare(reporter))
    before = trainer.validator.scorer.score(trainer.network)
    trainer.train()
    return before, trainer.validator.scorer.score(trainer.network)


@pytest.mark.parametrize("objective", ["autoencoding", "masked", "next_token"])
def test_words_of_a_text(workshop: Workshop, objective: str) -> None:
    paragraphs = [part for topic in topics.values() for part in topic.split("\n\n") if len(part) > 80]
    lines = [json.dumps({"text": " ".join(part.split())[:100]}) for part in paragraphs[:300]]
    dataset = workshop.dataset("\n".join(lines).encode(), "topics.jsonl", modality="text")
    known = 500
    body: dict[str, Any] = {"modality": {"name": "text", "vocabulary": known}, "objective": {"name": objective}}
    before, after = before_and_after(workshop, dataset, **body, **SMALL)
    assert after["perplexity"] < 0.5 * known
    assert after["perplexity"] < 0.95 * before["perplexity"]  # some begin with the words' frequencies


@pytest.mark.parametrize("objective", ["autoencoding", "masked"])
def test_frames_of_a_recording(workshop: Workshop, objective: str) -> None:
    clips = {f"{n:03}.wav": sound(tone(hertz=200 + 23 * n, seconds=0.3)) for n in range(60)}
    dataset = workshop.dataset(to_zip(clips), "clips.zip", modality="audio")
    before, after = before_and_after(workshop, dataset, objective={"name": objective}, **SMALL)
    assert after["mse"] < 0.85 * before["mse"]
