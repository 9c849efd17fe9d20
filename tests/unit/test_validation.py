"""pydantic's errors become named ones that point at the client's own key."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.api.dataset_schemas import DatasetRequest
from app.api.jobs import JobBody
from app.ml.jobs.train import JobRequest
from app.validation import from_validation

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
        ({"training": {"early_stopping": {"patience": True}}}, "wrong_type", "training.early_stopping.patience"),
        ({"objective": {"name": "contrastive", "temperature": True}}, "wrong_type", "objective.temperature"),
        ({"encoder": {"name": "mlp", "dimensions": "8"}}, "wrong_type", "encoder.dimensions"),
        ({"encoder": {"name": "mlp", "widths": [8, True]}}, "wrong_type", "encoder.widths[1]"),
        ({"publish": {"alias": "2"}}, "does_not_fit", "publish.alias"),
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

    error = from_validation(caught.value.errors(), body, JobRequest)

    assert (error.code, error.param, error.status) == (code, param, 422)
    assert error.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objective": "pca"}, 'objective: expected an object such as {"name": "pca"}; got \'pca\''),
        ({"encoder": "mlp"}, 'encoder: expected an object such as {"name": "mlp"}; got \'mlp\''),
        ({"training": "long"}, "training: expected an object; got 'long'"),
        ({"objective": 3}, "objective: expected an object; got 3"),
        ({"training": {"epochs": "3"}}, "training.epochs: Input should be a valid integer or 'auto'; got '3'"),
        (
            {"augmentation": {}},
            "augmentation.name: this key is required; "
            "choose one of 'audio', 'auto', 'image', 'none', 'text', 'vectors'",
        ),
    ],
)
def test_a_name_where_an_object_belongs_is_told_how_that_is_written(change: dict[str, Any], said: str) -> None:
    body = GOOD | change
    with pytest.raises(ValidationError) as caught:
        JobRequest.validate_python(body)
    assert from_validation(caught.value.errors(), body, JobRequest).message == said


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        (
            {"columns": {"lable": "a"}},
            "columns.lable",
            "no such key, did you mean label? There are audio, boxes, caption",
        ),
        ({"cleaning": {"nonfinite": "drop"}}, "cleaning.nonfinite", "did you mean non_finite?"),
        (
            {"cleaning": {"on_fault": "drop"}},
            "cleaning.on_fault",
            "did you mean on_fault beside cleaning? There are boxes",
        ),
        ({"cleaning": {"min_seconds": True}}, "cleaning.min_seconds", "a valid number; got true"),
        ({"split": {"train": True}}, "split.train", "a valid number; got true"),
        ({"seed": 3}, "seed", "no such key; there are cleaning, columns"),
        ({"html": "remove"}, "html", "did you mean cleaning.html?"),
        ({"colums": {}}, "colums", "did you mean columns? There are cleaning, columns, decimal"),
        ({"name": "two words"}, "name", "1 to 63 letters from a to z, digits, dots, dashes and underscores"),
        ({"split": {"train": 0.6, "validation": 0.2}}, "split", "train + validation + test must be 1, not 0.8"),
        ({"split": {"files": {"train": []}}}, "split.files.train", "at least 1 item"),
    ],
)
def test_a_wrong_dataset_is_told_what_and_where(change: dict[str, Any], param: str, said: str) -> None:
    body = {"name": "d", "files": ["file-1"]} | change
    with pytest.raises(ValidationError) as caught:
        DatasetRequest.model_validate(body)

    error = from_validation(caught.value.errors(), body, DatasetRequest)

    assert error.param == param
    assert error.message.startswith(f"{param}: ")
    assert said in error.message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trainig": {"epochs": 1}}, "trainig: there is no such key, did you mean training? There are augmentation, "),
        ({"epochs": 1}, "epochs: there is no such key, did you mean training.epochs?"),
        ({"training": {"epoch": 1}}, "training.epoch: there is no such key, did you mean epochs? There are "),
        (
            {"encoder": {"name": "mlp", "dimension": 8}},
            "encoder.dimension: there is no such key, did you mean dimensions?",
        ),
        ({"roles": {"left": {"encodr": {}}}}, "roles.left.encodr: there is no such key, did you mean encoder?"),
        ({"datasets": [{"id": "ds-1", "wieght": 1}]}, "datasets[0].wieght: there is no such key, did you mean weight?"),
        ({"dataset": None, "zzz": 1}, "zzz: there is no such key; there are augmentation, base_model, dataset, "),
    ],
)
def test_an_unknown_key_of_a_job_comes_with_the_ones_there_are(change: dict[str, Any], said: str) -> None:
    body = GOOD | change
    with pytest.raises(ValidationError) as caught:
        JobRequest.validate_python(body)

    assert from_validation(caught.value.errors(), body, JobRequest).message.startswith(said)


def test_a_key_that_is_missing_beside_an_unknown_one_was_misspelt() -> None:
    body = {"nmae": "d", "files": ["file-1"]}
    with pytest.raises(ValidationError) as caught:
        DatasetRequest.model_validate(body)

    error = from_validation(caught.value.errors(), body, DatasetRequest)

    assert (error.code, error.param) == ("unknown_key", "nmae")
    assert "did you mean name?" in error.message


@pytest.mark.parametrize(
    ("body", "param"), [({"kind": "pretrain", "datasets": [{}]}, "datasets[0].id"), ({"dataset": "ds-1"}, "kind")]
)
def test_a_missing_key_is_named_once(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        JobRequest.validate_python(body)

    error = from_validation(caught.value.errors(), body, JobRequest)

    assert (error.code, error.param, error.message) == ("missing_key", param, f"{param}: this key is required")


def test_what_kinds_of_jobs_there_are_is_told_to_who_names_none() -> None:
    known: TypeAdapter[Any] = TypeAdapter(JobBody)
    with pytest.raises(ValidationError) as caught:
        known.validate_python({"dataset": "ds-1"})
    error = from_validation(caught.value.errors(), {"dataset": "ds-1"}, known)
    assert (error.code, error.param) == ("missing_key", "kind")
    assert error.message == "kind: this key is required; choose one of 'embed', 'evaluate', 'finetune', 'pretrain'"
