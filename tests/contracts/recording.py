"""Records what this release stores, for tests/contracts/test_stored.py: `python -m tests.contracts.recording 0.2`.

That makes tests/contracts/stored/0.2; whatever was recorded before stays. Models are small, and what they learn is
unimportant: each stands for other things that are kept on disk.
"""

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from app.ml import artifact
from app.ml.operations.base import Operation
from app.ml.plugins import Settings, find
from app.registry import checkpoints, jobs, objects
from app.registry.db import Database
from app.registry.tables import Version
from app.storage import storage_at
from tests import bert_folder, networks
from tests.contracts.test_settings import FOLDERS as FOLDERS
from tests.workshop import Workshop, blobs
from worker.handlers import importing

STORED = Path(__file__).with_name("stored")
SETTINGS, ANSWERS, JOB = "settings.json", "answers.json", "job.json"
SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 32}
TABLE = [
    {"age": 20 + n % 50, "colour": ["red", "green", "blue"][n % 3], "height": None if n % 9 == 0 else n}
    for n in range(60)
]
TEXTS = ["The gardener plants an oak.", "An elm grows here!", "Größe und 東京 ñ", "oaks and elms, ash and yew; figs"]
GAPS = {"non_finite": "impute"}
UNKNOWN = "the oakling planted unheard words"


def main(release: str) -> None:
    target = STORED / release
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = Database(f"sqlite:///{home}/registry.db")
        database.migrate()
        workshop = Workshop(database, storage_at((home / "objects").as_uri(), home / "cache", 2**26), home)
        record_models(workshop, target / "models")
        record_training(workshop, target / "training")
        database.close()
    (target / SETTINGS).write_text(json.dumps(all_settings()) + "\n", encoding="utf-8")


def record_models(workshop: Workshop, target: Path) -> None:
    """Families that keep different things: scalings, categories, tokenizers, vocabularies, heads."""
    drawn, small = blobs(rows=60, width=4), {"name": "mlp", "widths": [8], "dimensions": 2}
    numbers, row = workshop.dataset(drawn), drawn["features"][0].tolist()
    base = workshop.train(workshop.job(numbers, name="numbers", encoder=small, training=SHORT))
    keep(workshop, base, target, [row])
    graft = workshop.job(numbers, base, kind="finetune", name="graft", training=SHORT)
    keep(workshop, workshop.train(graft), target, [row])

    table = workshop.dataset("".join(json.dumps(each) + "\n" for each in TABLE).encode(), "table.jsonl", cleaning=GAPS)
    rows = [{"age": 30, "colour": "blue", "height": None}, {"age": 41, "colour": "red", "height": 12}]
    keep(workshop, workshop.train(workshop.job(table, name="table", encoder=small, training=SHORT)), target, rows)

    pictures = networks.pictures(40)
    cnn = {"name": "cnn", "preset": "nano", "width": 2, "dimensions": 2}
    job = workshop.job(workshop.dataset({"image": pictures}), name="pictures", encoder=cnn, training=SHORT)
    keep(workshop, workshop.train(job), target, pictures[:2].tolist())

    texts = workshop.dataset("\n".join(TEXTS * 10).encode(), "texts.txt", cleaning={"duplicates": "keep"})
    few = {"name": "text", "ngrams": 64}
    bodies: dict[str, dict[str, Any]] = {
        "texts": {"encoder": {"name": "sentences", "dimensions": 8}, "modality": few},
        "words": {
            "objective": {"name": "word_embeddings"},
            "encoder": {"name": "words", "dimensions": 4},
            "modality": few,
        },
        "tfidf": {"objective": {"name": "tfidf_svd"}, "encoder": {"name": "linear", "dimensions": 4}},
        "masked": {
            "objective": {"name": "masked"},
            "encoder": {"name": "transformer", "width": 8, "depth": 1, "heads": 2},
            "modality": {"name": "text", "tokenizer": "wordpiece", "vocabulary": 60},
            "training": SHORT,
        },
    }
    for name, body in bodies.items():
        keep(workshop, workshop.train(workshop.job(texts, name=name, **body)), target, [TEXTS[2], UNKNOWN])

    lines = "\n".join(f"a {['rose', 'tree'][n % 2]} is {'e ' * (n // 2)},{'ab'[n % 2]}" for n in range(20))
    labelled = workshop.dataset(f"text,label\n{lines}\n".encode(), "texts.csv")
    graft = workshop.job(labelled, imported(workshop), kind="finetune", name="imported", training=SHORT)
    keep(workshop, workshop.train(graft), target, ["a rose is a rose", "trees!"])


def imported(workshop: Workshop) -> Version:
    """A sentence encoder of Hugging Face."""
    file = workshop.file(bert_folder.zipped(bert_folder.files()), "bert.zip", "user_data")
    request = {"kind": "import", "file": file, "name": "encoder"}
    with workshop.database.session() as session:
        job = jobs.create(session, project_id=workshop.project_id, kind="import", queue="data", request=request)
    importing.run(workshop.claim(job.id))
    return workshop.version(job)


def keep(workshop: Workshop, version: Version, target: Path, items: Any) -> None:
    """The version's artifact, and what it answers to `items`."""
    folder = target / version.model.name
    copied(artifact.own(workshop.files_of(version)), folder)
    told = {"input": items, "answers": asyncio.run(answers(folder, items))}
    (folder / ANSWERS).write_text(json.dumps(told, ensure_ascii=False) + "\n", encoding="utf-8")


async def answers(folder: Path, items: Any) -> dict[str, Any]:
    """What the model in a folder answers to items, by operation; it gives its golden answers, or ArtifactDamaged."""
    predictor = networks.predictor(artifact.load({name: folder / name for name in artifact.FILES}))
    found = {}
    for operation in (make() for make in find("operations", Operation).values() if make.of_items):
        if operation.ability in predictor.abilities:
            request = operation.Request.model_validate({"model": "stored", "input": items})
            answer, _ = await predictor.answer(operation, request, large=False, pack=dict)
            found[operation.name] = json.loads(json.dumps(answer["data"], default=np.ndarray.tolist))
    predictor.close()
    return found


def record_training(workshop: Workshop, target: Path) -> None:
    """A dataset, and the checkpoint of a training that was asked to leave."""
    dataset = workshop.dataset(blobs(rows=60, width=4, labels=False))
    encoder = {"name": "mlp", "widths": [4], "dimensions": 2}
    job = workshop.job(dataset, name="resumed", encoder=encoder, training=SHORT | {"ema": 0.9})
    workshop.leave(job)
    with workshop.database.reading() as session:
        (newest, *_) = checkpoints.newest(session, job.id)
        held = objects.held(session, newest.id) | objects.held(session, dataset.id)
        request = {name: value for name, value in workshop.look(job).request.items() if name != "dataset"}
        total = json.loads(workshop.storage.get(held["state.json"][0].key))["total_steps"]
        about = {"request": request, "profile": dataset.profile, "step": newest.step, "total_steps": total}
    copied({name: workshop.storage.local(parts[0]) for name, parts in held.items()}, target)
    (target / JOB).write_text(json.dumps(about) + "\n", encoding="utf-8")


def copied(files: Mapping[str, Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, path in files.items():
        shutil.copyfile(path, folder / name)


def all_settings() -> dict[str, dict[str, Any]]:
    """Of every plug-in its settings as they are stored, and what single ones may be instead."""
    return {folder: {name: accepted(plugin) for name, plugin in find(folder, base).items()} for folder, base in FOLDERS}


def accepted(plugin: type[Settings]) -> dict[str, Any]:
    usual = plugin().model_dump(mode="json")
    others = {
        name: [value for value in candidates(field) if valid(plugin, {**usual, name: value})]
        for name, field in plugin.model_json_schema()["properties"].items()
        if name != "name"
    }
    return {"usual": usual, "others": {name: values for name, values in others.items() if values}}


def candidates(field: dict[str, Any]) -> Iterator[Any]:
    """Named choices, true and false, and the bounds of numbers."""
    for kind in (field, *field.get("anyOf", [])):
        yield from kind.get("enum", [])
        yield from [True, False] if kind.get("type") == "boolean" else []
        yield from [kind[bound] for bound in ("const", "minimum", "maximum") if bound in kind]


def valid(plugin: type[Settings], given: dict[str, Any]) -> bool:
    with contextlib.suppress(ValidationError):
        return bool(plugin.model_validate(given))
    return False


if __name__ == "__main__":
    main(sys.argv[1])
