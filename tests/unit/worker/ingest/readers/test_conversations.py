"""Conversations as chat models are fine-tuned with: labels where few answers are given, else what texts become."""

import json
from typing import Any

import pytest

from worker.ingest.readers.conversations import as_pair


def talk(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": who, "content": said} for who, said in turns]}


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (talk(("system", "Sort it."), ("user", "hi"), ("assistant", "yes")), "hi"),
        (talk(("user", "hi"), ("assistant", "ho"), ("user", "and?"), ("assistant", "yes")), "hi\nho\nand?"),
        (talk(("user", "hi"), ("assistant", "yes"), ("user", "thanks")), "hi"),
        (
            talk(("user", [{"type": "text", "text": "hi"}, {"type": "text", "text": "ho"}]), ("assistant", "yes")),
            "hi\nho",
        ),
        (talk(("user", "hi"), ("assistant", None), ("tool", "12"), ("assistant", "yes")), "hi\n"),
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]}, "hi"),
    ],
)
def test_the_last_answer_is_the_completion(row: dict[str, Any], prompt: str) -> None:
    assert as_pair({"id": 7, **row}) == {"id": 7, "prompt": prompt, "completion": "yes"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": []},
        {"messages": ["hi"]},
        {"messages": "hi"},
        {"text": "hi"},
        {**talk(("user", "hi")), "prompt": "hi"},
    ],
)
def test_other_rows_stay_as_they_are(row: dict[str, Any]) -> None:
    assert as_pair(row) is row


def test_few_answers_are_labels_and_many_are_what_texts_become(ingest: Any) -> None:
    asked = [f"what do you think of number {n} of these" for n in range(40)]
    few = [
        talk(("system", "Answer."), ("user", text), ("assistant", ("yes", "no")[n % 2])) for n, text in enumerate(asked)
    ]
    made = ingest({"chat.jsonl": lines(few)})
    assert made.read("input").tolist() == asked
    assert made.read("target").tolist() == ["yes", "no"] * 20
    many = [talk(("user", text), ("assistant", f"it is {n} indeed")) for n, text in enumerate(asked)]
    made = ingest({"chat.jsonl": json.dumps(many).encode()})
    assert made.read("source").tolist() == asked
    assert made.read("target")[3] == "it is 3 indeed"


def test_what_cannot_be_read_of_a_conversation_is_a_fault_of_its_row(ingest: Any) -> None:
    good = [talk(("user", f"number {n} of many"), ("assistant", "yes" if n % 3 else "no")) for n in range(30)]
    picture = talk(("user", [{"type": "image_url", "image_url": {"url": "x"}}]), ("assistant", "yes"))
    for wrong, said in ((talk(("user", "hi")), "holds no answer to a user"), (picture, "no text, as what 'user' says")):
        made = ingest({"chat.jsonl": lines([*good[:4], wrong, *good[4:]])})
        assert made.codes == ["no_answer"]
        assert "row 5" in made.faults[0].message
        assert said in made.faults[0].message
        assert len(ingest({"chat.jsonl": lines([*good, wrong])}, on_fault="drop").read("target")) == 30
        assert "no_answer" in ingest({"chat.jsonl": lines([wrong] * 5)}).codes
