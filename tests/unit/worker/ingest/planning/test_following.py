"""Files of a further split that come to another plan than those of the first."""

import json
from typing import Any

import pytest


def lines(first: str, *names: str) -> bytes:
    rows = ({name: f"{first} words {name} {row}" for name in names} for row in range(40))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def labelled(first: str, key: str = "text") -> bytes:
    rows = ({key: f"{first} words number {row}", "label": "ab"[row % 2]} for row in range(40))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def ingested(ingest: Any, first: bytes, second: bytes, ending: str = "jsonl") -> Any:
    split = {"files": {"train": [f"train.{ending}"], "validation": [f"val.{ending}"]}}
    return ingest({f"train.{ending}": first, f"val.{ending}": second}, split=split)


PAIRS = lines("some", "source", "target")
COLOURS = b"c,d,label\n" + b"".join(
    b"%d,%s,%s\n" % (n, (b"red", b"blue")[n % 2], b"xy"[n % 3 % 2 :][:1]) for n in range(40)
)
NUMBERS = b"a,b,label\n" + b"".join(b"%d.5,%d.25,%s\n" % (n, n, b"xy"[n % 2 :][:1]) for n in range(40))


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            labelled("some"),
            lines("more", "source", "target"),
            "val.jsonl gives source (text: 'source') and target (text",
        ),
        (PAIRS, labelled("more"), "train.jsonl source (text: 'source') and target (text: 'target')"),
        (PAIRS, lines("more", "left", "right"), "val.jsonl gives left (text: 'left') and right (text: 'right')"),
        (lines("some", "left", "right", "negative"), lines("more", "left", "right"), "and negative (text: 'negative')"),
    ],
)
def test_texts_that_play_other_parts_are_a_fault(ingest: Any, first: bytes, second: bytes, said: str) -> None:
    made = ingested(ingest, first, second)
    assert made.codes == ["columns_differ"]
    assert said in made.faults[0].message


@pytest.mark.parametrize(("first", "second"), [(COLOURS, NUMBERS), (NUMBERS, COLOURS)])
def test_names_where_another_split_has_numbers_are_a_fault(ingest: Any, first: bytes, second: bytes) -> None:
    made = ingested(ingest, first, second, "csv")
    assert made.codes == ["columns_differ"]
    assert "'c', 'd', with names in 'd'" in made.faults[0].message


def test_columns_of_other_names_are_matched_by_their_parts(ingest: Any) -> None:
    made = ingested(ingest, labelled("some"), labelled("more", "review"))
    assert made.profile["splits"] == {"train": 40, "validation": 40, "test": 0}
    assert made.profile["target"]["splits"]["validation"] == {"a": 20, "b": 20}


def test_numbers_are_classes_where_those_of_the_first_split_are(ingest: Any) -> None:
    stars = b"review,stars\n" + b"".join(b"some words %d,%d\n" % (n, n % 5) for n in range(40))
    rated = b"text,price\n" + b"".join(b"more words %d,%d\n" % (n, n % 3) for n in range(40))
    priced = b"text,price\n" + b"".join(b"more words %d,%d.5\n" % (n, n) for n in range(40))
    told = ingested(ingest, stars, rated, "csv").profile["target"]["splits"]["validation"]
    assert told == {"0": 14, "1": 13, "2": 13, "3": 0, "4": 0}
    told = ingested(ingest, stars, priced, "csv").profile["target"]["splits"]["validation"]
    assert sum(told.values()) == 40


def test_items_of_another_shape_name_both_files(ingest: Any) -> None:
    made = ingested(ingest, b"a,b,c\n" + b"1,2,3\n2,3,5\n" * 9, b"d,e\n" + b"1,2\n2,3\n" * 9, "csv")
    assert made.codes == ["shapes_differ"]
    assert "'d', 'e' of val.csv" in made.faults[0].message
    assert "'a', 'b', 'c' of train.csv" in made.faults[0].message
