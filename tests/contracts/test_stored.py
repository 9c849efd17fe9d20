"""What users of a release have stored is read by every later one: models answer as they did, trainings go on.

tests/contracts/stored holds what `python -m tests.contracts.recording 0.1` wrote when that was the release. When a test
here fails, it is the code that has to read the older form, too: a recording is never changed and never deleted. A
release that stores something new is recorded beside those before it, under a name of its own.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.ml import artifact
from app.ml.jobs.train import JobRequest, TrainSpec
from app.ml.plugins import find
from app.registry import checkpoints, events
from app.registry import objects as held
from app.registry.db import Database
from app.registry.ids import new_id
from app.registry.tables import Dataset
from app.storage import Stored, storage_at
from tests.contracts.recording import ANSWERS, FOLDERS, JOB, SETTINGS, STORED, answers
from tests.workshop import Workshop
from worker import trainer

RELEASES = sorted(STORED.iterdir())
MODELS = [folder for release in RELEASES for folder in sorted((release / "models").iterdir())]


def named(folder: Path) -> str:
    return folder.relative_to(STORED).as_posix()


@pytest.mark.parametrize("folder", MODELS, ids=named)
def test_a_stored_model_answers_as_it_did(folder: Path) -> None:
    told = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    found = dict(leaves(asyncio.run(answers(folder, told["input"]))))
    for path, wanted in leaves(told["answers"]):
        assert found[path] == (pytest.approx(wanted, rel=1e-3, abs=1e-3) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("folder", MODELS, ids=named)
def test_what_a_stored_model_was_trained_with_is_known(folder: Path) -> None:
    about = json.loads((folder / artifact.MODEL).read_text(encoding="utf-8"))
    TrainSpec.model_validate(about["extra"]["spec"])


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_stored_settings_are_taken(release: Path) -> None:
    known = {folder: find(folder, base) for folder, base in FOLDERS}
    for folder, plugins in json.loads((release / SETTINGS).read_text(encoding="utf-8")).items():
        for name, stored in plugins.items():
            take = known[folder][name].model_validate
            take(stored["usual"])
            for field, others in stored["others"].items():
                for value in others:
                    take({**stored["usual"], field: value})


@pytest.mark.parametrize("release", RELEASES, ids=named)
def test_a_stored_training_goes_on(release: Path, sqlite_registry: Database, tmp_path: Path) -> None:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    workshop = Workshop(sqlite_registry, storage, tmp_path / "home")
    folder = release / "training"
    about = json.loads((folder / JOB).read_text(encoding="utf-8"))
    stored = {path.name: storage.put(f"stored/{path.name}", path) for path in folder.iterdir() if path.name != JOB}
    state = {name: stored.pop(name) for name in ("state.json", "state.safetensors")}

    JobRequest.validate_python({"kind": "pretrain", "dataset": "ds-stored", **about["request"]})
    job = workshop.job(dataset_of(workshop, about["profile"], stored), **about["request"])
    reporter = workshop.claim(job.id)
    with sqlite_registry.session() as session:
        checkpoints.add(session, job.id, reporter.token, step=about["step"], metrics={}, objects=state)
    trainer.run(reporter)

    done = workshop.look(job)
    assert (done.status, done.progress["step"]) == ("succeeded", about["total_steps"])
    with sqlite_registry.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 1000)]
    assert any(message.startswith(f"resumed at step {about['step']} ") for message in told)
    assert not any("is damaged" in message for message in told)


def dataset_of(workshop: Workshop, profile: dict[str, Any], stored: dict[str, Stored]) -> Dataset:
    with workshop.database.session() as session:
        project, name = workshop.project_id, "stored"
        dataset = Dataset(id=new_id("ds-"), project_id=project, name=name, status="ready", request={}, profile=profile)
        session.add(dataset)
        session.flush()
        held.hold(session, dataset.id, stored)
    return dataset


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is neither list nor object in JSON, by its path."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, f"{path}/{key}")
    else:
        yield path, value
