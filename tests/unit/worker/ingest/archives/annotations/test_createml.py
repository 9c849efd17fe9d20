"""Boxes in the JSON of Create ML: what is wrong with one has a name."""

from typing import Any

import pytest

from tests.boxes import PICTURES, codes, createml
from tests.picture_archives import to_zip

BOX = {"x": 3, "y": 3, "width": 2, "height": 2}


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ({"image": "gone.png", "annotations": []}, "missing_file", "the picture 'gone.png' is not in the archive"),
        ({"annotations": []}, "not_createml", "a picture needs a name in 'image'"),
        ({"image": "1.png", "annotations": [{"label": "cat"}]}, "not_a_box", "give a label and coordinates with x, y"),
        (
            {"image": "1.png", "annotations": [{"label": "cat", "coordinates": {**BOX, "x": "3"}}]},
            "not_a_box",
            "give a label",
        ),
    ],
)
def test_what_is_wrong_has_a_name(ingest: Any, row: dict[str, Any], code: str, said: str) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **createml(row)})})
    assert codes(made) == [(code, 7)]
    assert said in made.faults[0].message


def test_a_list_that_breaks_off(ingest: Any) -> None:
    (path, content), *_ = createml().items()
    made = ingest({"x.zip": to_zip({**PICTURES, path: content[:-20]})})
    assert codes(made) == [("not_createml", None)]
