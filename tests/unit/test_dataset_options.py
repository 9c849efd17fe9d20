"""What a dataset's request may say, and what is refused at once."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.dataset_options import Cleaning, DatasetOptions, FileSplit, Fractions


def test_defaults_leave_everything_to_the_content() -> None:
    options = DatasetOptions(files=["file-1"])
    assert (options.modality, options.format, options.split, options.cleaning) == ("auto", None, None, Cleaning())
    assert DatasetOptions.model_validate(options.stored()) == options


def test_fractions_and_files_are_told_apart() -> None:
    drawn = DatasetOptions.model_validate({"files": ["a"], "split": {"train": 0.9, "test": 0.1, "seed": 3}})
    given = DatasetOptions.model_validate({"files": ["a", "b"], "split": {"files": {"train": ["a"], "test": ["b"]}}})
    assert drawn.split == Fractions(train=0.9, test=0.1, seed=3)
    assert isinstance(given.split, FileSplit)
    assert DatasetOptions.model_validate(given.stored()) == given


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"files": []}, "at least 1"),
        ({"files": ["a", "a"]}, "same id twice"),
        ({"files": ["a"], "colums": {}}, "not permitted"),
        ({"files": ["a"], "modality": "video"}, "'auto', 'vectors', 'image', 'text' or 'audio'"),
        (
            {"files": ["a"], "format": "xlsx"},
            "'csv', 'tsv', 'txt', 'jsonl', 'parquet', 'arrow', 'npy', 'npz', 'idx', 'zip', 'tar', 'audio', 'coco', "
            "'yolo' or 'voc'",
        ),
        ({"files": ["a"], "columns": {"features": "x", "image": "x"}}, "not both"),
        ({"files": ["a"], "columns": {"features": []}}, "at least one column"),
        ({"files": ["a"], "columns": {"features": ["x", "y", "x"]}}, "names a column twice"),
        ({"files": ["a"], "modality": "vectors", "columns": {"image": "x"}}, "columns.features"),
        ({"files": ["a"], "columns": {"split": "s"}, "split": {"train": 0.9, "test": 0.1}}, "not both"),
        (
            {"files": ["a"], "cleaning": {"min_seconds": 2, "max_seconds": 1}},
            "min_seconds 2 is more than max_seconds 1",
        ),
        ({"files": ["a"], "split": {"train": 0.8, "test": 0.1}}, "must be 1, not 0.9"),
        ({"files": ["a"], "split": {"train": 1.0, "seed": -1}}, "greater than or equal to 0"),
        ({"files": ["a"], "split": {"files": {"train": ["a"], "test": ["b"]}}}, "every one of files once"),
        ({"files": ["a", "b"], "split": {"files": {"train": ["a"]}}}, "every one of files once"),
    ],
)
def test_what_cannot_be_meant_is_refused(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DatasetOptions.model_validate(body)
