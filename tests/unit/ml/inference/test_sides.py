"""Items go to the side that reads their kind; where that is not clear, to the first, or to the one that is named."""

from typing import Any

import numpy as np
import pytest

from app.errors import DoesNotFit
from app.ml.inference.sides import side_of
from app.ml.modalities.base import Fitted
from app.ml.modalities.image import Image
from app.ml.modalities.text import Text
from app.ml.modalities.vectors import Vectors
from tests import networks

IMAGE, TEXT = Image().fit([networks.pictures(4)]), Text().fit([networks.texts(9)])
VECTORS = Vectors().fit([networks.rows(4)])
URI = "data:image/png;base64,aaaa"


@pytest.mark.parametrize(
    ("left", "right", "items", "side"),
    [
        (IMAGE, TEXT, URI, "left"),
        (IMAGE, TEXT, [URI, URI], "left"),
        (IMAGE, TEXT, "an oak", "right"),
        (IMAGE, TEXT, ["an oak"], "right"),
        (IMAGE, TEXT, [[0, 1], [2, 3]], "left"),
        (IMAGE, TEXT, np.zeros((8, 8)), "left"),
        (IMAGE, TEXT, b"\x89PNG", "left"),
        (TEXT, VECTORS, [1.0, 2.0], "right"),
        (TEXT, TEXT, "an oak", "left"),
        (VECTORS, IMAGE, URI, "right"),
        (IMAGE, TEXT, None, "left"),
    ],
)
def test_the_kind_of_the_first_item_decides(left: Fitted, right: Fitted, items: Any, side: str) -> None:
    assert side_of(items, {"left": left, "right": right}, None) == side


def test_a_side_can_be_named() -> None:
    assert side_of("an oak", {"left": TEXT, "right": TEXT}, "right") == "right"
    with pytest.raises(DoesNotFit, match="no side 'right'"):
        side_of([1.0], {}, "right")


def test_a_file_among_texts_is_no_text() -> None:
    with pytest.raises(DoesNotFit, match=r"input\[1\]: is a file among texts"):
        side_of(["an oak", URI], {"left": IMAGE, "right": TEXT}, None)
    assert side_of(["an oak", URI], {"left": TEXT, "right": TEXT}, None) == "left"
