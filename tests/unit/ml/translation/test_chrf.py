"""chrF against figures that sacrebleu 2 gives for the same texts."""

import pytest

from app.ml.translation.chrf import chrf

PAIRS = [
    ("Der Hund beißt den Mann.", "Der Hund biss einen alten Mann."),
    ("Ein Baum", "Ein Baum"),
    ("ja", "nein"),
    ("xyz", "ab cd"),
]


def test_all_texts_together() -> None:
    assert chrf(PAIRS) == pytest.approx(0.48913011896949996, abs=1e-12)


@pytest.mark.parametrize(("pair", "expected"), list(zip(PAIRS, [0.4664357982690199, 1.0, 0.0, 0.0], strict=True)))
def test_each_by_itself(pair: tuple[str, str], expected: float) -> None:
    assert chrf([pair]) == pytest.approx(expected, abs=1e-12)


def test_white_space_does_not_count_and_nothing_is_no_fault() -> None:
    assert chrf([("a b\nc", "ab  c")]) == 1.0
    assert chrf([]) == chrf([("", "")]) == chrf([("", "a")]) == chrf([("a", "")]) == 0.0
