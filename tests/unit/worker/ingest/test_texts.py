"""Texts where they lie are the same as their copies, and rows that look alike are told apart."""

from typing import Any

import numpy as np
import pytest

from worker.ingest.texts import Texts, joined, nothing


def lying(text: bytes, spans: list[tuple[int, int]]) -> Texts:
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return Texts(np.frombuffer(text, np.uint8), starts, ends)


APART = lying("one\r\n\n \t \nzwölf\n".encode(), [(0, 3), (5, 5), (6, 9), (10, 16)])


def test_a_copy_has_the_texts_alone() -> None:
    assert APART.taken().to_pylist() == ["one", "", " \t ", "zwölf"]
    assert APART.taken(np.array([0, 3])).to_pylist() == ["one", "zwölf"]
    assert nothing(2).taken().to_pylist() == ["", ""]
    assert nothing(0).taken().to_pylist() == []


def test_blank_is_what_has_white_space_alone() -> None:
    assert APART.blank().tolist() == [False, True, True, False]
    assert lying("\u2003\u00a0x".encode(), [(0, 5), (5, 6)]).blank().tolist() == [True, False]
    assert nothing(3).blank().tolist() == [True] * 3


@pytest.mark.parametrize(
    ("text", "plain"),
    [(b"a b\nc\n", True), (b"a\tb\r\nc", True), (b"a\rb\nc", False), ("ä\nc".encode(), False), (b"a\x07\nc", False)],
)
def test_plain_is_ascii_without_control_characters(text: bytes, plain: bool) -> None:
    ends = [place for place, byte in enumerate(text) if byte == 10]
    starts = [0, *(end + 1 for end in ends)]
    spans = [(a, b - text[a:b].endswith(b"\r")) for a, b in zip(starts, [*ends, len(text)], strict=True)]
    assert lying(text, spans).is_plain() == plain


def test_parts_are_joined_in_order() -> None:
    assert joined([APART, nothing(0), APART]).taken().to_pylist() == [*APART.taken().to_pylist()] * 2
    assert joined([APART]) is APART


def test_long_rows_that_look_alike_are_no_duplicates(ingest: Any) -> None:
    """They differ where no sketch looks."""
    rows = [f"{'x' * 50}{number:03}{'y' * 70}" for number in range(40)]
    made = ingest({"a.txt": "\n".join([*rows, *rows[:3]]).encode()}, cleaning={"duplicates": "drop"})
    assert made.profile["cleaning"]["dropped"] == {"duplicate": 3}
    assert sorted(made.read("input").tolist()) == sorted(rows)


def test_pairs_that_look_alike_are_no_duplicates(ingest: Any) -> None:
    left = [f"{'x' * 50}{number // 2:03}{'y' * 70}" for number in range(40)]
    right = [f"{'v' * 50}{number % 2:03}{'w' * 70}" for number in range(40)]
    rows = [f"{one},{other}" for one, other in zip(left, right, strict=True)]
    text = "\n".join(["left,right", *rows, rows[0]]).encode()
    made = ingest({"a.csv": text}, modality="text", cleaning={"duplicates": "drop"})
    assert made.profile["cleaning"]["dropped"] == {"duplicate": 1}
