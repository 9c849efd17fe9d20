"""What is made of files whose owner says nothing about them, as people bring them."""

import json
from typing import Any

import numpy as np
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


@pytest.mark.parametrize("asked", [{}, {"modality": "text"}])
def test_completions_that_many_prompts_share_are_labels(ingest: Any, asked: dict[str, str]) -> None:
    told = [f"this is what buyer {n} thinks of it" for n in range(40)]
    classed = lines(*({"prompt": text, "completion": ("good", "not good")[n % 2]} for n, text in enumerate(told)))
    assert ingest({"x": classed}, **asked).profile["target"]["classes"] == {"good": 20, "not good": 20}
    rewritten = lines(*({"prompt": text, "completion": f"buyer {n} thinks so"} for n, text in enumerate(told)))
    assert ingest({"x": rewritten}, **asked).profile["target"]["modality"] == "text"


def test_texts_that_all_differ_are_no_labels(ingest: Any) -> None:
    rows = [{"review": f"this is what buyer {n} thinks of it", "reply": f"thank you, dear {n}"} for n in range(40)]
    made = ingest({"x": lines(*rows)})
    assert made.profile["target"] is None
    assert made.profile["inferred"]["ignored"] == ["reply"]


def table(header: str, *rows: tuple[object, ...]) -> bytes:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]).encode() + b"\n"


HOUSES = [(("Bonn", "Ulm", "Kiel")[n % 3], 40 + 7 * n, 1 + n % 5, 100_000 + 3_517 * n) for n in range(60)]


def test_a_last_column_named_like_a_price_is_the_value(ingest: Any) -> None:
    made = ingest({"x.csv": table("city,area,rooms,price", *HOUSES)})
    assert made.profile["target"]["modality"] == "numbers"
    assert made.profile["inferred"]["value"] == "'price', the last column, by its name"
    assert "value" in made.profile["inferred"]["override"]
    kinds = {column["name"]: column["kind"] for column in made.profile["input"]["columns"]}
    assert kinds == {"area": "number", "rooms": "number", "city": "category"}


def test_few_ratings_are_labels(ingest: Any) -> None:
    rows = [(n * 0.5, n % 7, 3 + n % 5) for n in range(60)]
    assert len(ingest({"x.csv": table("acid,sugar,quality", *rows)}).profile["target"]["classes"]) == 5


@pytest.mark.parametrize("name", ["target", "y"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_target_of_quantities_is_a_value(ingest: Any, name: str, kind: str) -> None:
    rows = [(n * 0.5, n % 7, 25 + (n * 37) % 200) for n in range(60)]
    content = table(f"a,b,{name}", *rows)
    if kind == "jsonl":
        content = lines(*({"a": a, "b": b, name: value} for a, b, value in rows))
    made = ingest({f"x.{kind}": content})
    assert made.profile["target"]["modality"] == "numbers"
    assert made.profile["inferred"]["value"] == f"'{name}', by its name"


def test_a_target_of_whole_numbers_that_come_again_is_a_label(ingest: Any) -> None:
    rows = [(n * 0.5, n % 7, n % 30) for n in range(240)]
    assert len(ingest({"x.csv": table("a,b,target", *rows)}).profile["target"]["classes"]) == 30
    rows = [(n * 0.5, n % 7, n % 60) for n in range(120)]
    assert ingest({"x.csv": table("a,b,label", *rows)}).profile["target"]["modality"] == "classes"


def test_names_amid_numbers_are_a_feature_and_names_at_an_end_the_label(ingest: Any) -> None:
    rows = [(n, city, rooms) for city, n, rooms, _ in HOUSES]
    assert ingest({"x.csv": table("area,city,rooms", *rows)}).profile["target"] is None
    made = ingest({"x.csv": table("rooms,area,city", *((c, a, b) for a, b, c in rows))})
    assert set(made.profile["target"]["classes"]) == {"Bonn", "Ulm", "Kiel"}
    assert "columns.value names another" in made.profile["inferred"]["label"]


def test_a_weight_beside_pairs_is_their_weight(ingest: Any) -> None:
    rows = "".join(f"the tree number {n} grows,a root of it {n} goes down,{n / 10}\n" for n in range(30))
    made = ingest({"pairs.csv": f"left,right,weight\n{rows}".encode()})
    assert made.profile["inferred"]["weight"] == "'weight', by its name"
    assert made.profile["target"] is None
    np.testing.assert_allclose(made.read("weight"), np.arange(30) / 10, rtol=1e-6)


def test_a_weight_among_numbers_is_a_feature(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{n * 7 % 5},{'xy'[n % 2]}\n" for n in range(30))
    made = ingest({"x.csv": f"weight,height,label\n{rows}".encode()})
    assert made.column("weight")["plays"] == "features"


def test_a_text_with_few_values_is_one_beside_its_label(ingest: Any) -> None:
    rows = "Gruesse aus Koeln,x\nbis bald,y\n" * 20
    made = ingest({"x.csv": f"text,label\n{rows}".encode()})
    assert made.profile["modality"] == "text"
    assert made.profile["target"]["classes"] == {"x": 20, "y": 20}


@pytest.mark.parametrize(("modality", "said"), [("text", "texts"), ("audio", "recordings")])
def test_numbers_are_no_other_modality(ingest: Any, modality: str, said: str) -> None:
    rows = "".join(f"{n}.5,{n * 7 % 5},{'xy'[n % 2]}\n" for n in range(30))
    made = ingest({"x.csv": f"a,b,label\n{rows}".encode()}, modality=modality)
    assert made.codes == ["no_input"]
    assert made.faults[0].message == (
        f"no column holds {said}, as modality {modality} needs; "
        "label is 'label', by its name; beside it there are 'a' (numbers), 'b' (numbers)"
    )


def test_texts_that_are_not_used_are_warned_of(ingest: Any) -> None:
    rows = "".join(f"{n + 1.5} kg,C{n:05},{n}.5,{'xy'[n % 2]}\n" for n in range(60))
    content = {"x.csv": f"mass,customer,b,label\n{rows}".encode()}
    assert any(w.startswith("not used") and "'mass', 'customer'" in w for w in ingest(content).profile["warnings"])
    made = ingest(content, columns={"features": ["mass", "b"], "label": "label"})
    assert any(w.startswith("more than one name for every two rows: 'mass'") for w in made.profile["warnings"])


@pytest.mark.parametrize(
    "text",
    ["这家酒店的房间很干净,服务也很好{}", "とても良いホテルでしたまた泊まりたいです{}", "ห้องพักสะอาดมากและบริการดีมาก{}"],
)
def test_texts_without_spaces_are_texts(ingest: Any, text: str) -> None:
    rows = "".join(f"{text.format(n)}\t{'好坏'[n % 2]}\n" for n in range(40))
    made = ingest({"x.tsv": f"评论\t情感\n{rows}".encode()})
    assert made.profile["modality"] == "text"
    assert made.profile["target"]["classes"] == {"好": 20, "坏": 20}


def test_names_without_spaces_are_names(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{'北上'[n % 2]}海市,{n * 7 % 5}\n" for n in range(40))
    made = ingest({"x.csv": f"a,城市,b\n{rows}".encode()})
    assert made.profile["modality"] == "vectors"
    assert made.column("城市")["plays"] == "features"


def test_columns_that_could_be_the_label_are_named(ingest: Any) -> None:
    rows = "".join(f"{'YN'[n % 2]},{'YN'[n % 3 // 2]},{n}.5,{n * 7 % 50}.25,{n % 4}\n" for n in range(60))
    made = ingest({"x.csv": f"default,student,balance,income,children\n{rows}".encode()})
    assert made.profile["target"] is None
    said = made.profile["inferred"]["target"]
    assert said.startswith(
        "few different values in 'default', 'student', 'children': call the one to be told 'label' in the file"
    )
    asked = ingest({"x.csv": f"default,student,balance,income,children\n{rows}".encode()}, columns={"label": "default"})
    assert "target" not in asked.profile["inferred"]


def test_a_table_of_small_whole_numbers_alone_offers_no_label(ingest: Any) -> None:
    rows = "".join(f"{n % 3},{n % 5},{n % 7}\n" for n in range(60))
    made = ingest({"x.csv": f"a,b,c\n{rows}".encode()})
    assert made.profile["target"] is None
    assert "target" not in made.profile["inferred"]


def test_objects_are_told_how_they_are_read(ingest: Any) -> None:
    rows = [json.dumps({"translation": {"en": f"page {row}", "de": f"Seite {row}"}}) for row in range(20)]
    (fault,) = ingest({"x.jsonl": "\n".join(rows).encode()}).faults
    assert "'translation' (neither numbers nor text); write what matters of objects into keys of their" in fault.message


def test_empty_columns_and_pictures_are_no_numbers_where_texts_are_wanted(ingest: Any, to_npy: Any) -> None:
    (empty,) = ingest({"x.csv": b"text,label\n" + b",a\n,b\n" * 20}, modality="text").faults
    assert "beside it there are 'text' (no value in the first rows)" in empty.message
    pictures = np.zeros((20, 8, 8), np.uint8)
    pictures[:, 0, 0] = np.arange(20)
    (array,) = ingest({"x.npy": to_npy(pictures)}, modality="text").faults
    assert "(64 numbers a row)" in array.message


def test_what_is_no_conversation_is_told_how_one_is_written(ingest: Any) -> None:
    (fault,) = ingest({"chat.jsonl": b'{"messages": [{"user": "hi", "assistant": "yes"}]}\n' * 12}).faults
    assert "'messages' (neither numbers nor text); conversations are read as lists" in fault.message


def test_texts_where_pictures_were_asked_for(ingest: Any) -> None:
    text = "text,label\n" + "".join(f"a few words of number {n},{'xy'[n % 2]}\n" for n in range(20))
    (fault,) = ingest({"x.csv": text.encode()}, modality="image").faults
    assert fault.message.startswith("no column can be the input as modality image needs it; label is")
    assert "columns.text" not in fault.message


def test_stars_beside_a_review_are_offered_as_its_label(ingest: Any) -> None:
    row = "a few words of number {0},{1},{2},{3},2024-05-{1:02}\n"
    rows = "".join(row.format(n, n % 5, "YN"[n % 2], "YN"[n % 3 // 2]) for n in range(60))
    made = ingest({"x.csv": f"review,stars,bought,returned,day\n{rows}".encode()})
    assert made.profile["target"] is None
    assert made.profile["inferred"]["target"].startswith("few different values in 'stars', 'bought', 'returned': ")


@pytest.mark.parametrize("date", ["Jan {} 2000", "{} March 2000", "2000-02-{:02} 00:00:00 UTC", "February {}th, 2000"])
def test_what_was_taken_for_the_value_is_said_where_dates_alone_are_left(ingest: Any, date: str) -> None:
    rows = "".join(f"{'AB'[n % 2]};{date.format(n + 1)};{n}.25\n" for n in range(28))
    (fault,) = ingest({"x.csv": f"symbol;date;price\n{rows}".encode()}).faults
    assert "value is 'price', the last column, by its name; beside it there are 'symbol'" in fault.message


def test_columns_of_numbers_are_no_pictures(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{n * 7 % 5},{'xy'[n % 2]}\n" for n in range(30))
    for columns in ({}, {"image": "a"}):
        (fault,) = ingest({"x.csv": f"a,b,label\n{rows}".encode()}, modality="image", columns=columns).faults
        assert fault.code == "unsupported_shape"
        assert "'a'" in fault.message
        assert "one number per row is no picture; give pixels as one array" in fault.message


def test_what_stands_beside_an_array_or_is_an_object_is_warned_of(ingest: Any) -> None:
    row = '{{"id": {0}, "size": {0}.5, "values": [1.5, {0}], "where": {{"x": 1, "y": 2}}}}\n'
    warnings = ingest({"x.jsonl": "".join(map(row.format, range(40))).encode()}).profile["warnings"]
    assert any(said.startswith("not used, since 'values' is an array: 'size'; name all") for said in warnings)
    assert any(said.startswith("not used, since they hold neither numbers nor texts: 'where';") for said in warnings)
    asked = ingest({"x.jsonl": "".join(map(row.format, range(40))).encode()}, columns={"features": ["size", "values"]})
    assert asked.profile["input"]["shape"] == [3]
    assert not any(said.startswith("not used") for said in asked.profile["warnings"])


@pytest.mark.parametrize("index", ["", "id,"])
def test_names_alone_are_features(ingest: Any, index: str) -> None:
    rows = [f"{'low' if n % 3 else 'high'},{'ab'[n % 2]},{'yes' if n % 5 else 'no'}" for n in range(60)]
    text = "\n".join([f"{index}safety,doors,class", *(f"{n},{row}" if index else row for n, row in enumerate(rows))])
    made = ingest({"x.csv": text.encode()}, cleaning={"duplicates": "keep"})
    assert made.profile["inferred"]["features"] == "2 columns of names"
    assert made.profile["inferred"]["modality"] == "vectors: 'safety' has one of few names per row"
    assert [column["categories"] for column in made.profile["input"]["columns"]] == [["high", "low"], ["a", "b"]]
    assert made.profile["target"]["classes"] == {"no": 12, "yes": 48}
    assert index or ingest({"x.csv": text.encode()}, modality="image").codes == ["no_input"]


def test_names_beside_what_may_be_read_are_none_by_themselves(ingest: Any) -> None:
    rows = "".join(f"gadget {n},{'ab'[n % 2]},{'xy'[n % 3 % 2]},{n % 2}\n" for n in range(60))
    assert ingest({"x.csv": f"title,brand,kind,class\n{rows}".encode()}).codes == ["no_input"]
