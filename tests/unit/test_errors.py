"""pydantic's errors become named ones that point at the client's own key."""

from typing import Any

import pytest
from pydantic import ValidationError

from app import errors
from app.api.schemas import DatasetRequest
from app.ml.spec import JobRequest

GOOD: dict[str, Any] = {"kind": "pretrain", "dataset": "ds-1"}


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"objective": {"name": "guessing"}}, "unknown_choice", "objective.name"),
        ({"objective": {"name": "autoencoding", "colour": 1}}, "unknown_key", "objective.colour"),
        ({"encoder": {"name": "mlp", "dimensions": 0}}, "out_of_range", "encoder.dimensions"),
        ({"encoder": {"name": "mlp", "widths": [8, 0]}}, "out_of_range", "encoder.widths[1]"),
        ({"training": {"epochs": -1}}, "out_of_range", "training.epochs"),
        ({"training": {"epochs": True}}, "wrong_type", "training.epochs"),
        ({"training": {"learning_rate": "fast"}}, "wrong_type", "training.learning_rate"),
        ({"training": {"learning_rate": float("nan")}}, "non_finite", "training.learning_rate"),
        ({"training": {"early_stopping": {"patience": 0}}}, "out_of_range", "training.early_stopping.patience"),
        ({"training": {"optimizer": "magic"}}, "unknown_choice", "training.optimizer"),
        ({"speed": 9}, "unknown_key", "speed"),
        ({"name": "white space"}, "out_of_range", "name"),
        ({"dataset": None}, "does_not_fit", None),
        ({"base_model": "m", "encoder": {"name": "mlp"}}, "does_not_fit", None),
        ({"kind": "finetune"}, "does_not_fit", None),
    ],
)
def test_a_wrong_job_is_told_what_and_where(change: dict[str, Any], code: str, param: str | None) -> None:
    body = GOOD | change
    with pytest.raises(ValidationError) as caught:
        JobRequest.validate_python(body)

    error = errors.from_validation(caught.value.errors(), body)

    assert (error.code, error.param, error.status) == (code, param, 422)
    assert error.message


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"columns": {"labels": "a"}}, "columns.labels", "there is no such key; there are audio, boxes, caption"),
        ({"cleaning": {"nonfinite": "drop"}}, "cleaning.nonfinite", "there are boxes, constant, control"),
        ({"colums": {}}, "colums", "there are cleaning, columns, decimal"),
        ({"split": {"train": 0.6, "validation": 0.2}}, "split", "train + validation + test must be 1, not 0.8"),
        ({"split": {"files": {"train": []}}}, "split.files.train", "at least 1 item"),
    ],
)
def test_a_wrong_dataset_is_told_what_and_where(change: dict[str, Any], param: str, said: str) -> None:
    body = {"name": "d", "files": ["file-1"]} | change
    with pytest.raises(ValidationError) as caught:
        DatasetRequest.model_validate(body)

    error = errors.from_validation(caught.value.errors(), body, DatasetRequest)

    assert error.param == param
    assert error.message.startswith(f"{param}: ")
    assert said in error.message


def test_a_code_is_the_snake_case_of_its_class() -> None:
    assert errors.InvalidApiKey("x").code == "invalid_api_key"
    assert errors.TooLarge("x").code == "too_large"
