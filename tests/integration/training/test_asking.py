"""What a trained model can be asked with, from pictures of any size to rows by names."""

import base64
from typing import Any

import numpy as np
import pytest

from app.errors import RootstockError
from app.ml import artifact
from app.registry.tables import Dataset
from tests.picture_archives import picture, to_zip
from tests.workshop import Workshop

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32}


def test_a_model_of_scaled_pictures_reads_pictures_of_any_size(sqlite: Workshop) -> None:
    members = {
        f"{label}/{row}.png": picture(value + row, size=(8 + row % 3, 9))
        for label, value in (("dark", 10), ("light", 200))
        for row in range(30)
    }
    dataset = sqlite.dataset(to_zip(members), "pictures.zip", image_size=8)
    version = sqlite.train(sqlite.job(dataset, objective={"name": "classification"}, training={"epochs": 2}))

    loaded = artifact.load(sqlite.files_of(version))
    uri = "data:image/png;base64," + base64.b64encode(picture(100, size=(31, 17))).decode()
    assert np.asarray(loaded.roles["input"].read([uri])).shape == (1, 8, 8, 1)


def test_a_table_with_categories_and_gaps_is_learned_and_asked_in_its_own_words(sqlite: Workshop) -> None:
    random = np.random.default_rng(0)
    lines = ["age,colour,kind"]
    for row in range(240):
        kind = "adult" if row % 2 else "child"
        age = "" if row % 9 == 0 else f"{random.integers(20, 60) if row % 2 else random.integers(1, 12)}"
        lines.append(f"{age},{('red', 'blue', 'green')[row % 3]},{kind}")
    dataset = sqlite.dataset(
        "\n".join(lines).encode(), "people.csv", columns={"label": "kind"}, cleaning={"non_finite": "impute"}
    )
    version = sqlite.train(sqlite.job(dataset, objective={"name": "classification"}, training=SHORT))

    assert version.metrics["accuracy"] > 0.8
    loaded = artifact.load(sqlite.files_of(version))
    rows = loaded.roles["input"].read([[40, "red"], {"colour": "blue", "age": 5}, [None, "green"]])
    answers = loaded.network.predict(loaded.roles["input"].encode(rows))  # type: ignore[operator]
    assert [answer["label"] for answer in loaded.roles["target"].render(answers)[:2]] == ["adult", "child"]
    rebuilt = sqlite.train(sqlite.job(dataset, name="rebuilt", training={"epochs": 1}))
    assert rebuilt.abilities == ["embed", "reconstruct"]
    assert rebuilt.spec["roles"]["input"]["modality"]["columns"][1]["categories"] == ["blue", "green", "red"]


def test_a_table_of_numbers_is_asked_by_the_names_of_its_columns(sqlite: Workshop) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2)) * [10, 0.1] + [40, 1.7]

    def table(order: list[int]) -> Dataset:
        names = np.array(["age", "height"])[order]
        lines = [",".join(names), *(",".join(f"{number:.4f}" for number in row) for row in rows[:, order])]
        return sqlite.dataset("\n".join(lines).encode(), "people.csv")

    version = sqlite.train(sqlite.job(table([0, 1]), name="people", training={"epochs": 1}))
    loaded = artifact.load(sqlite.files_of(version))
    read = loaded.roles["input"].read([{"height": 1.5, "age": 30}, [50, 2]])
    assert np.asarray(read).tolist() == [[30, 1.5], [50, 2]]
    with pytest.raises(RootstockError, match="column 1 of the dataset is 'height', and of the model 'age'"):
        sqlite.train(sqlite.job(table([1, 0]), base=version, name="others", training={"epochs": 1}))
