"""From an archive of pictures with COCO's boxes to a published model that finds them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from app.errors import DoesNotFit, OutOfRange
from app.ml import artifact
from app.ml.objectives import detection
from app.registry import events
from app.registry.db import Database
from app.storage import storage_at
from tests.picture_archives import to_zip
from tests.workshop import Workshop

NAMES = ("bright", "dark")
SIDE = 24


@pytest.fixture
def workshop(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    return Workshop(
        sqlite_registry, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home"
    )


def png(pixels: Any) -> bytes:
    held = io.BytesIO()
    Pillow.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def scene(draw: np.random.Generator, side: int, share: float) -> tuple[Any, list[tuple[str, list[int]]]]:
    """A gray picture with 0 to 2 squares, and their classes with x, y, width and height."""
    picture, found = draw.integers(100, 150, (side, side), dtype=np.uint8), []
    for x in (1, side // 2 + 1):
        size, name = int(draw.integers(side // 5, side // 3)), str(draw.choice(NAMES))
        y = int(draw.integers(0, side - size))
        if draw.random() < share:
            picture[y : y + size, x : x + size] = 255 if name == "bright" else 0
            found.append((name, [x, y, size, size]))
    return picture, found


def archive(count: int, share: float = 0.7, **extra: Any) -> bytes:
    """A ZIP of pictures and their COCO file; `extra` puts further boxes into the first picture."""
    draw, members = np.random.default_rng(0), {}
    categories = [*NAMES, *extra]
    images, annotations = list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(count):
        picture, found = scene(draw, SIDE, share)
        if number == 0:
            found += list(extra.items())
        members[f"images/{number}.png"] = png(picture)
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        annotations += [
            {"id": len(annotations) + place, "image_id": number, "category_id": categories.index(name), "bbox": box}
            for place, (name, box) in enumerate(found)
        ]
    told = {"images": images, "annotations": annotations}
    told["categories"] = [{"id": place, "name": name} for place, name in enumerate(categories)]
    return to_zip({**members, "annotations.json": json.dumps(told).encode()})


def request(**changed: Any) -> dict[str, Any]:
    small = {"encoder": {"name": "cnn", "preset": "nano"}, "objective": {"name": "detection", "width": 16}}
    return {"kind": "pretrain", **small, "training": {"epochs": 25, "learning_rate": 5e-3}} | changed


def test_boxes_become_a_model_that_finds_such_things_in_pictures_of_any_size(workshop: Workshop) -> None:
    dataset = workshop.dataset(archive(150), "scenes.zip", cleaning={"duplicates": "keep"})
    assert (dataset.profile or {})["target"]["modality"] == "boxes"
    version = workshop.train(workshop.job(dataset, **request()))
    metrics, beside = version.metrics, version.metrics["baselines"]
    assert beside.keys() == {"mean", "frequent"}
    assert all(metrics["average_precision_50"] > each["average_precision_50"] + 0.2 for each in beside.values())
    assert version.abilities == ["predict"]
    model = artifact.load(workshop.files_of(version))
    picture = np.full((48, 96), 125, np.uint8)
    picture[6:18, 60:84] = 255
    sent = png(picture)
    fitted = model.roles["input"]
    answers = artifact.ask(model.network, "predict", fitted.encode(fitted.read(sent)))
    (told,) = model.roles["target"].entries(model.network.postprocess(answers), fitted.sizes(sent))
    assert told["boxes"][0]["label"] == "bright"
    assert told["boxes"][0]["box"] == pytest.approx([60, 6, 84, 18], abs=12)


def test_a_model_that_is_too_unsure_to_tell_boxes_says_so(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "SHOWN", 1.0)
    dataset = workshop.dataset(archive(60), "unsure.zip", cleaning={"duplicates": "keep"})
    job = workshop.job(dataset, **request())
    metrics = workshop.train(job).metrics
    assert (metrics["f1"], metrics["average_precision_50"] > 0) == (0, True)
    with workshop.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 1000) if event.type == "warning"]
    assert "no right box has a score of 1 or more, and predictions tell no others by default" in " ".join(told)


def test_pictures_are_changed_with_their_boxes_by_default(workshop: Workshop) -> None:
    dataset = workshop.dataset(archive(100), "scenes.zip", cleaning={"duplicates": "keep"})
    job = workshop.job(dataset, **request(training={"epochs": 1}))
    assert {"crop": 0.5, "name": "image"}.items() <= workshop.train(job).spec["augmentation"].items()
    with workshop.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 1000)]
    assert not [message for message in told if "augmentation tried" in message], "noise is nearest to no original"


def test_a_class_that_is_seen_once_is_learned_beside_the_others(workshop: Workshop) -> None:
    content = archive(60, owl=[2, 2, 6, 6])
    dataset = workshop.dataset(content, "scenes.zip", cleaning={"duplicates": "keep"})
    assert (dataset.profile or {})["target"]["classes"]["owl"] == 1
    version = workshop.train(workshop.job(dataset, **request(training={"epochs": 1})))
    assert 0 <= version.metrics["average_precision"] <= 1


def test_a_graft_on_a_pretrained_encoder_finds_boxes_where_nobody_says_what_to_learn(workshop: Workshop) -> None:
    dataset = workshop.dataset(archive(60), "scenes.zip", cleaning={"duplicates": "keep"})
    encoder = {"name": "cnn", "preset": "nano", "dimensions": 4}
    base = workshop.train(workshop.job(dataset, encoder=encoder, training={"epochs": 1}))
    version = workshop.train(workshop.job(dataset, base, kind="finetune", training={"epochs": 1}))
    assert version.spec["objective"] == {"name": "detection", "width": 64}
    assert version.spec["roles"]["input"]["encoder"]["width"] == 16


def test_without_any_box_there_is_nothing_to_learn(workshop: Workshop) -> None:
    dataset = workshop.dataset(archive(20, share=0.0), "empty.zip")
    with pytest.raises(OutOfRange, match="no training picture has a box; at least one has to"):
        workshop.train(workshop.job(dataset, **request()))


@pytest.mark.parametrize(
    ("count", "message"),
    [(1, "a single row; a dataset needs at least 2"), (2, "has 1 labelled row; it needs 2 at least")],
)
def test_one_picture_is_too_few(workshop: Workshop, count: int, message: str) -> None:
    dataset = workshop.dataset(archive(count, owl=[2, 2, 6, 6]), "few.zip")
    if dataset.status == "failed":
        assert message in (dataset.error or {})["message"]
        return
    with pytest.raises(OutOfRange, match=message):
        workshop.train(workshop.job(dataset, **request()))


def test_what_is_no_picture_is_refused(workshop: Workshop) -> None:
    dataset = workshop.dataset(b"text,label\noak,a\nelm,b\nash,a\nyew,b\n" * 10, "trees.csv", modality="text")
    with pytest.raises(DoesNotFit, match="objective 'detection' cannot use modality 'text' as 'input'; it takes"):
        workshop.train(workshop.job(dataset, kind="pretrain", objective={"name": "detection"}))
