"""Conversations as chat models are fine-tuned with: labels where few answers are given, else what texts become."""

import io
import json
from csv import DictWriter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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


def parquet(rows: list[dict[str, Any]]) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), held, row_group_size=16)
    return held.getvalue()


def arrow(rows: list[dict[str, Any]]) -> bytes:
    held, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_file(held, table.schema) as writer:
        writer.write_table(table)
    return held.getvalue()


def csv(rows: list[dict[str, Any]]) -> bytes:
    held = io.StringIO()
    writer = DictWriter(held, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "messages": json.dumps(row["messages"])} for row in rows)
    return held.getvalue().encode()


def in_texts(rows: list[dict[str, Any]]) -> bytes:
    return lines([{**row, "messages": json.dumps(row["messages"])} for row in rows])


@pytest.mark.parametrize("write", [parquet, arrow, csv, in_texts])
def test_tables_hold_conversations_as_lines_do(ingest: Any, write: Any) -> None:
    asked = [f"what do you think of number {n} of these" for n in range(40)]
    said = [("system", "Answer."), ("user", "well"), ("assistant", "ho")]
    few = [
        {"n": n % 7, **talk(*said, ("user", text), ("assistant", ("yes", "no")[n % 2]))} for n, text in enumerate(asked)
    ]
    made = ingest({"chat": write(few)})
    assert made.read("input").tolist() == [f"well\nho\n{text}" for text in asked]
    assert made.read("target").tolist() == ["yes", "no"] * 20
    many = [{"n": n % 7, **talk(("user", text), ("assistant", f"it is {n} indeed"))} for n, text in enumerate(asked)]
    made = ingest({"chat": write(many)})
    assert made.read("source").tolist() == asked
    assert made.read("target")[3] == "it is 3 indeed"
    assert made.profile["inferred"] == ingest({"chat": lines(many)}).profile["inferred"]
    open_ended = {"n": 1, **talk(("user", "hi"))}
    wrong = ingest({"chat": write([*many[:4], open_ended, *many[4:]])})
    assert wrong.codes == ["no_answer"]
    assert "row 5: 'messages' holds no answer to a user" in wrong.faults[0].message
    assert len(ingest({"chat": write([*many, open_ended])}, on_fault="drop").read("target")) == 40


def test_a_prompt_beside_a_conversation_in_a_table_counts(ingest: Any) -> None:
    rows = [{"prompt": f"number {n} of many", **talk(("user", "hi"), ("assistant", "ho"))} for n in range(30)]
    assert ingest({"chat.parquet": parquet(rows)}).read("input")[3] == "number 3 of many"


def test_conversations_as_python_shows_them_are_refused(ingest: Any) -> None:
    rows = "".join(f'"{talk(("user", f"hi {n}"), ("assistant", "ho"))["messages"]}"\n' for n in range(30))
    (fault,) = ingest({"chat.csv": f"messages\n{rows}".encode()}).faults
    assert "column 'messages' holds conversations as Python shows them" in fault.message
    assert "json.dumps" in fault.message


def test_a_completion_in_a_table_is_no_number(ingest: Any) -> None:
    rows = [talk(("user", f"number {n} of many"), ("assistant", "yes")) for n in range(30)]
    assert "not_a_number" in ingest({"chat.parquet": parquet(rows)}, columns={"value": "completion"}).codes
