import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.errors import UnknownChoice
from app.ml import artifact
from app.ml.operations.base import Operation
from app.ml.operations.embed import Embed
from app.ml.operations.predict import Predict
from app.ml.operations.reconstruct import Reconstruct
from app.ml.plugins import find
from app.ml.tensors.shapes import Column
from tests import networks


def answer(loaded: artifact.Artifact, operation: Operation, column: Column, **options: Any) -> dict[str, Any]:
    request = operation.Request.model_validate({"model": "tiny", "input": [], **options})
    modality, target = loaded.roles["input"], loaded.roles.get("target")
    outputs = artifact.ask(loaded.network, operation.ability, modality.encode(column)).numpy()
    return operation.answer(request, modality, target, modality.arrays(column), outputs)


def test_all_operations_are_found() -> None:
    found = find("operations", Operation)
    assert {"embed", "predict", "reconstruct"} <= set(found)
    for operation in found.values():
        schema = operation.Request.model_json_schema()
        assert ({"model", "input"} if operation.of_items else {"model"}) <= set(schema["properties"])


def test_base64_holds_the_same_numbers(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    numbers = answer(loaded, Embed(), networks.rows(3))
    packed = answer(loaded, Embed(), networks.rows(3), encoding_format="base64")
    assert numbers["usage"] == packed["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    for one, other in zip(numbers["data"], packed["data"], strict=True):
        decoded = np.frombuffer(base64.b64decode(other["embedding"]), dtype="<f4")
        assert decoded.tolist() == one["embedding"].tolist()
        assert decoded.shape == (4,)


def test_the_error_of_a_reconstruction_is_its_mean_square_in_scaled_units(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    column = networks.rows(3) * 10 + 5
    data = answer(loaded, Reconstruct(), column)["data"]
    modality = loaded.roles["input"]
    for row, item in zip(column, data, strict=True):
        drawn = modality.encode(modality.read(item["reconstruction"]))["values"]
        given = modality.encode(row[None])["values"]
        assert item["error"] == pytest.approx(float((drawn - given).square().mean()), rel=1e-3)
    packed = answer(loaded, Reconstruct(), column, encoding_format="base64")["data"]
    for one, other in zip(data, packed, strict=True):
        assert np.frombuffer(base64.b64decode(other["reconstruction"]), dtype="<f4").tolist() == one["reconstruction"]
    with pytest.raises(UnknownChoice, match="vectors"):
        answer(loaded, Reconstruct(), column, encoding_format="png")


@pytest.mark.parametrize("packing", ["png", "base64"])
def test_pictures_come_back_as_pictures(tmp_path: Path, packing: str) -> None:
    loaded = artifact.load(networks.write(tmp_path, modality="image"))
    column = networks.pictures(2)
    plain = answer(loaded, Reconstruct(), column)["data"]
    packed = answer(loaded, Reconstruct(), column, encoding_format=packing)["data"]
    for one, other in zip(plain, packed, strict=True):
        assert other["reconstruction"].startswith("data:image/png;base64,")
        again = np.asarray(loaded.roles["input"].read(other["reconstruction"]))
        assert again[0, :, :, 0].tolist() == one["reconstruction"]
        assert 0 < one["error"] < 1


def test_predictions_are_sorted_and_cut(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, objective="classification"))
    for item in answer(loaded, Predict(), networks.rows(5))["data"]:
        scores = list(item["scores"].values())
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1)
        assert item["scores"][item["label"]] == item["score"] == scores[0]
    best = answer(loaded, Predict(), networks.rows(5), top_k=1)["data"]
    assert all(list(item["scores"]) == [item["label"]] for item in best)


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        (Embed(), {"encoding_format": "hex"}),
        (Embed(), {"dimensions": 0}),
        (Embed(), {"dimensions": True}),
        (Embed(), {"colour": "red"}),
        (Predict(), {"top_k": 0}),
        (Predict(), {"top_k": 1.5}),
        (Reconstruct(), {"encoding_format": "jpeg"}),
    ],
)
def test_wrong_options_are_refused(operation: Operation, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        operation.Request.model_validate({"model": "tiny", "input": [1], **options})
