"""What is made of files whose owner says nothing about them, as people bring them."""

import json
from typing import Any

import pytest


def lines(*rows: dict[str, Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("names", [("prompt", "completion"), ("instruction", "output"), ("input", "output")])
def test_a_request_and_its_answer_are_source_and_target(ingest: Any, names: tuple[str, str]) -> None:
    asked, answered = names
    made = ingest({"x": lines(*({asked: f"say number {n}", answered: f"number {n} it is"} for n in range(20)))})
    assert made.read("source")[3] == "say number 3"
    assert made.read("target")[3] == "number 3 it is"


def test_triples(ingest: Any) -> None:
    names = ("anchor", "positive", "negative")
    made = ingest({"x": lines(*({name: f"{name} text number {n}" for name in names} for n in range(20)))})
    assert [made.read(role)[5] for role in ("left", "right", "negative")] == [f"{name} text number 5" for name in names]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_few_whole_numbers_beside_texts_are_labels(ingest: Any, kind: str) -> None:
    texts = [f"this is what buyer {n} thinks of it" for n in range(40)]
    if kind == "jsonl":
        content = lines(*({"review": text, "stars": 1 + n % 5} for n, text in enumerate(texts)))
    else:
        content = ("review,stars\n" + "".join(f"{text},{1 + n % 5}\n" for n, text in enumerate(texts))).encode()
    made = ingest({f"x.{kind}": content})
    assert made.profile["target"]["classes"] == {str(star): 8 for star in range(1, 6)}
    assert made.profile["inferred"]["label"] == "'stars', one value per row beside the input"


def test_texts_that_all_differ_are_no_labels(ingest: Any) -> None:
    rows = [{"review": f"this is what buyer {n} thinks of it", "reply": f"thank you, dear {n}"} for n in range(40)]
    made = ingest({"x": lines(*rows)})
    assert made.profile["target"] is None
    assert made.profile["inferred"]["ignored"] == ["reply"]
