"""Rows of one speaker or patient on both sides of a drawn split: the profile warns, and says what to do."""

from typing import Any

import numpy as np
import pytest

from tests.picture_archives import to_zip
from tests.sounds import sound, tone

DRAWN = np.random.default_rng(0)


def sided(made: Any) -> list[str]:
    return [warning for warning in made.profile["warnings"] if "both sides" in warning]


def table(column: str, names: list[str], rows: int = 200) -> bytes:
    drawn = enumerate(DRAWN.random((rows, 2)))
    lines = (f"{x:.4f},{y:.4f},{names[n % len(names)]},{'pq'[n % 2]}" for n, (x, y) in drawn)
    return "\n".join((f"a,b,{column},label", *lines)).encode()


@pytest.mark.parametrize("column", ["speaker", "patient_id", "UserID", "client id"])
def test_a_feature_called_like_a_group_is_told(ingest: Any, column: str) -> None:
    (warning,) = sided(ingest({"d.csv": table(column, ["7", "8.5", "9"])}, columns={"features": ["a", column]}))
    assert warning.startswith(f"3 values of '{column}' on both sides of the splits, such as '7', '8.5', '9': ")
    assert f'columns {{"group": "{column}"}}' in warning


def test_long_numbers_of_patients_stay_apart(ingest: Any) -> None:
    """They are no different numbers in float32."""
    names = ["830104821", "830104822", "830104823"]
    (warning,) = sided(ingest({"d.csv": table("patient", names)}, columns={"features": ["a", "patient"]}))
    assert warning.startswith("3 values of 'patient' on both sides of the splits, such as '830104821', '830104822'")


@pytest.mark.parametrize("names", [["ann", "bob"], ["1", "2"]])
def test_a_column_that_is_not_used_is_told_too(ingest: Any, names: list[str]) -> None:
    (warning,) = sided(ingest({"d.csv": table("speaker", names)}, columns={"features": ["a", "b"]}))
    assert warning.startswith("2 values of 'speaker' on both sides")


def test_speakers_beside_recordings_are_told(ingest: Any) -> None:
    said = "".join(f"{n}.wav,{'yes' if n % 3 else 'no'},{'ann' if n % 2 else 'bob'}\n" for n in range(20))
    members = {f"{n}.wav": sound(tone(200 + 30 * n, 0.05)) for n in range(20)}
    made = ingest({"a.zip": to_zip({**members, "metadata.csv": ("file_name,label,speaker\n" + said).encode()})})
    assert len(sided(made)) == 1


@pytest.mark.parametrize("part", ["group", "label"])
def test_what_has_another_part_is_not_told(ingest: Any, part: str) -> None:
    assert (
        sided(
            ingest(
                {"d.csv": table("speaker", ["ann", "bob", "eve"])}, columns={"features": ["a", "b"], part: "speaker"}
            )
        )
        == []
    )


@pytest.mark.parametrize("column", ["colour", "user_rating", "grouping"])
def test_other_names_and_values_that_come_once_are_not_told(ingest: Any, column: str) -> None:
    assert sided(ingest({"d.csv": table(column, ["1.5", "2", "3"])})) == []
    assert sided(ingest({"d.csv": table("speaker", [f"{n}.5" for n in range(200)])})) == []
