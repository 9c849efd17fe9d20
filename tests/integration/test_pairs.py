"""Pairs from upload to model: one encoder for both sides, resumed alike, and taken over by a graft."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from app.ml.objectives.alignment import Aligned
from app.ml.tensors.batch import Batch
from app.ml.tensors.equal_items import first_equal
from app.registry.db import Database
from app.storage import storage_at
from tests.picture_archives import picture, to_zip
from tests.workshop import Workshop

WORDS = {"oak": "tree", "bread": "food", "wren": "bird", "iron": "metal", "red": "colour", "shirt": "clothes"}
BODY: dict[str, Any] = {
    "roles": {side: {"encoder": {"name": "transformer", "preset": "nano"}} for side in ("left", "right")},
    "training": {"epochs": 8, "batch_size": 32},
}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    database = Database(f"sqlite:///{tmp_path}/registry.db")
    database.migrate()
    return Workshop(database, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


def lines(rows: int = 300) -> list[tuple[str, str]]:
    draw = np.random.default_rng(0)
    drawn = [(draw.choice(list(WORDS)), number) for number in draw.permutation(1000)[:rows]]
    return [(f"{word} {number}", f"{number} {WORDS[word]}") for word, number in drawn]


def captioned(first: int) -> bytes:
    """Forty pictures of four greys, two captions each."""
    greys = {0: "black", 80: "dark", 160: "light", 250: "white"}
    shown = [list(greys)[n % 4] for n in range(40)]
    members = {f"images/{first + n}.png": picture(grey + n % 5, size=(8, 8)) for n, grey in enumerate(shown)}
    said = [
        f"{first + n}.png,{text.format(greys[grey])}"
        for n, grey in enumerate(shown)
        for text in ("a picture that is {}", "it is {} all over")
    ]
    return to_zip({**members, "captions.txt": "\n".join(["image,caption", *said]).encode()})


def test_pictures_with_several_captions_are_pairs_as_they_are(workshop: Workshop) -> None:
    datasets = [workshop.dataset(captioned(first), "pictures.zip") for first in (0, 40)]
    assert [dataset.rows for dataset in datasets] == [80, 80]
    body: dict[str, Any] = {
        "objective": {"name": "alignment"},
        "roles": {
            "left": {"encoder": {"name": "mlp", "preset": "nano"}},
            "right": {"encoder": {"name": "transformer", "preset": "nano"}},
        },
        "training": {"epochs": 30, "batch_size": 16},
    }
    both: dict[str, Any] = {"datasets": [{"id": dataset.id} for dataset in datasets]}
    for used in ({}, both):
        model = workshop.train(workshop.job(datasets[0], name=f"pairs{len(used)}", **body, **used))
        chance = model.metrics["baselines"]["chance"]
        assert model.metrics["recall_at_1"] > chance["recall_at_1"]
        assert model.spec["roles"]["left"]["modality"]["name"] == "image"


def test_captions_of_one_picture_are_partners_however_it_is_changed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row of a batch has its picture changed by itself."""
    told: list[tuple[int, int]] = []
    loss_from = Aligned.loss_from

    def look(network: Aligned, pairs: Tensor, batch: Batch) -> Any:
        if network.training:
            equal, changed = batch.equals["left"], first_equal(batch.roles["left"])
            told.append((len(set(equal.tolist())), len(set(changed.tolist()))))
        return loss_from(network, pairs, batch)

    monkeypatch.setattr(Aligned, "loss_from", look)
    body: dict[str, Any] = {
        "objective": {"name": "alignment"},
        "augmentation": {"name": "image", "brightness": 0.5},
        "roles": {
            "left": {"encoder": {"name": "mlp", "preset": "nano"}},
            "right": {"encoder": {"name": "transformer", "preset": "nano"}},
        },
        "training": {"epochs": 1, "batch_size": 64},
    }
    workshop.train(workshop.job(workshop.dataset(captioned(0), "pictures.zip"), **body))
    assert told
    assert all(equal <= 20 < changed for equal, changed in told)  # of 40 pictures, each is there twice


def test_pairs_become_a_model_whose_encoder_a_graft_takes(workshop: Workshop) -> None:
    content = "\n".join(["left,right", *(f"{left},{right}" for left, right in lines())]).encode()
    dataset = workshop.dataset(content, "pairs.csv", columns={"left": "left", "right": "right"})
    assert dataset.status == "ready", dataset.report
    job = workshop.job(dataset, **BODY)
    base = workshop.train(job)

    spec = workshop.look(job).spec or {}
    assert spec["objective"]["name"] == "alignment"
    assert spec["roles"]["right"]["like"] == "left"
    assert (base.abilities, base.modality, base.dimensions) == (["embed"], "text", 64)
    assert base.metrics["recall_at_10"] > 2 * base.metrics["baselines"]["chance"]["recall_at_10"]

    interrupted = workshop.job(dataset, **BODY)
    workshop.leave(interrupted)
    assert workshop.weights(workshop.train(interrupted)) == workshop.weights(base)

    labelled = "\n".join(["text,label", *(f"{left},{right.split()[1]}" for left, right in lines())]).encode()
    texts = workshop.dataset(labelled, "texts.csv", modality="text")
    graft = workshop.train(workshop.job(texts, base, kind="finetune", name="graft", training={"epochs": 5}))
    assert graft.metrics["accuracy"] > graft.metrics["baselines"]["majority"]["accuracy"]

    further = workshop.train(workshop.job(dataset, base, kind="finetune", name="further", training={"epochs": 1}))
    assert further.spec["objective"]["name"] == "alignment"
    assert further.metrics["recall_at_10"] > 2 * further.metrics["baselines"]["chance"]["recall_at_10"]
    assert further.metrics["base"]["domains"][dataset.id]["learned_by"] == ["base", "job"]
