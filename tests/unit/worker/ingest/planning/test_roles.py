"""What a dataset can be made of: texts, pairs, weights, values, tags, categories; what keeps rows together."""

import json
from typing import Any

import numpy as np
import pytest

from worker.ingest.kinds.statistics import Moments

WORDS = ["oak", "elm", "ash", "fir", "yew", "box", "bay", "fig"]
TEXTS = [f"the {WORDS[n % 8]} grows in garden number {n}" for n in range(40)]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def csv(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
    return "\n".join(lines).encode() + b"\n"


def places(made: Any) -> dict[int, str]:
    """Source row to split."""
    return {
        int(row): name
        for name, split in made.splits.items()
        for number in range(split.batches)
        for row in split.read("row", number)
    }


@pytest.mark.parametrize("write", [csv, jsonl])
def test_texts_with_labels_are_inferred(ingest: Any, write: Any) -> None:
    made = ingest({"d": write([{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(TEXTS)])})
    assert made.profile["modality"] == "text"
    assert made.read("input").tolist() == TEXTS
    assert made.profile["target"]["classes"] == {"a": 20, "b": 20}
    assert "words per row" in made.profile["inferred"]["modality"]


def test_a_table_with_remarks_stays_a_table(ingest: Any) -> None:
    rows = [{"x": n, "y": n * n, "remark": text, "label": "ab"[n % 2]} for n, text in enumerate(TEXTS)]
    made = ingest({"d": csv(rows)})
    assert (made.profile["modality"], made.profile["input"]["shape"]) == ("vectors", [2])
    assert made.profile["inferred"]["ignored"] == ["remark"]
    assert ingest({"d": csv(rows)}, columns={"text": "remark"}).read("input").tolist() == TEXTS


def test_pairs_and_triples_with_weights(ingest: Any) -> None:
    rows = [
        {"anchor": text, "positive": text.upper(), "no": TEXTS[n - 1], "w": 1 + n % 3} for n, text in enumerate(TEXTS)
    ]
    made = ingest({"d": jsonl(rows)})
    assert made.read("right").tolist() == [text.upper() for text in TEXTS]
    columns = {"left": "anchor", "right": "positive", "negative": "no", "weight": "w"}
    made = ingest({"d": jsonl(rows)}, columns=columns)
    assert made.read("negative").tolist() == [TEXTS[n - 1] for n in range(40)]
    assert made.read("weight").tolist() == [1 + n % 3 for n in range(40)]
    rows[7]["w"] = -1
    made = ingest({"d": jsonl(rows)}, columns=columns)
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("not_a_number", 8, "w")]


def test_values_are_targets_that_may_be_withheld(ingest: Any) -> None:
    rows = [{"a": n, "b": -n, "price": "" if n == 3 else n / 2} for n in range(40)]
    made = ingest({"d": csv(rows)}, columns={"value": "price"})
    assert made.profile["input"]["shape"] == [2]
    target = made.profile["target"]
    assert (target["modality"], target["missing"], sum(target["splits"].values())) == ("numbers", 1, 39)
    assert np.isnan(made.read("target")[3])
    assert made.read("target")[4] == 2


def test_tags_are_split_and_counted(ingest: Any) -> None:
    rows = [{"text": text, "tags": "tree" if n % 2 else "tree| green "} for n, text in enumerate(TEXTS)]
    made = ingest({"d": jsonl(rows)}, columns={"text": "text", "tags": "tags"})
    assert made.profile["target"]["classes"] == {"green": 20, "tree": 40}
    first = made.splits["train"].read("target", 0)
    assert {tuple(first.row(n).tolist()) for n in range(len(first))} == {(1,), (1, 0)}


def test_categories_become_positions_with_their_names(ingest: Any) -> None:
    rows = [{"size": n, "tree": "" if n == 5 else WORDS[n % 8], "label": n % 2} for n in range(40)]
    made = ingest({"d": csv(rows)})
    assert made.profile["input"]["columns"] == [
        {"name": "size", "kind": "number"},
        {"name": "tree", "kind": "category", "categories": sorted(WORDS)},
    ]
    values = made.read("input")
    assert np.isnan(values[5, 1])
    assert [sorted(WORDS)[int(place)] for place in values[6:9, 1]] == WORDS[6:] + WORDS[:1]


@pytest.mark.parametrize("features", ["tree", ["tree", "soil"]])
def test_a_table_of_names_alone_is_read_where_that_is_asked_for(ingest: Any, features: Any) -> None:
    rows = [{"tree": "" if n == 5 else WORDS[n % 8], "soil": "dry" if n % 3 else "wet"} for n in range(40)]
    made = ingest({"d": csv(rows)}, columns={"features": features})
    names = [features] if isinstance(features, str) else features
    assert [column["name"] for column in made.profile["input"]["columns"]] == names
    assert made.profile["input"]["columns"][0]["categories"] == sorted(WORDS)
    values = made.read("input")
    assert values.shape == (40, len(names))
    assert np.isnan(values[5, 0])
    assert [sorted(WORDS)[int(place)] for place in values[6:9, 0]] == WORDS[6:] + WORDS[:1]


def test_gaps_are_kept_for_the_model_where_asked(ingest: Any) -> None:
    rows = [{"a": "" if n % 4 == 0 else n, "b": -n} for n in range(40)]
    made = ingest({"d": csv(rows)}, cleaning={"non_finite": "impute"})
    assert made.profile["rows"] == 40
    assert made.profile["input"]["gaps"]
    assert np.isnan(made.read("input")[::4, 0]).all()
    known = np.array([n for n in range(40) if n % 4])
    assert made.column("a") == {
        "name": "a",
        "plays": "features",
        "type": "float64",
        "missing": 10,
        "min": 1.0,
        "max": 39.0,
        "mean": pytest.approx(known.mean()),
        "std": pytest.approx(known.std()),
    }


def test_a_column_of_gaps_alone_is_warned_of(ingest: Any) -> None:
    rows = [{"a": n, "b": "", "c": n % 3} for n in range(40)]
    made = ingest({"d": csv(rows)}, cleaning={"non_finite": "impute"}, columns={"features": ["a", "b", "c"]})
    assert made.column("b")["max"] is None
    assert any("1 column empty in every row: 'b'" in warning for warning in made.profile["warnings"])


def test_statistics_are_those_of_the_rows_that_stay(ingest: Any) -> None:
    rows = [{"a": n, "b": n % 3} for n in range(40)]
    made = ingest({"d": csv([*rows, *rows[30:]])}, cleaning={"duplicates": "drop"}, columns={"features": ["a", "b"]})
    described = made.column("a")
    assert [described[key] for key in ("min", "max", "mean")] == [0, 39, 19.5]
    assert described["std"] == pytest.approx(np.arange(40).std())


def test_statistics_of_gaps_are_exact_over_blocks() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=(900, 3))
    values[::7, 0] = values[:400, 1] = np.nan
    moments = Moments.nothing(3)
    for start in range(0, 900, 250):
        moments.add(values[start : start + 250])
    known = [column[~np.isnan(column)] for column in values.T]
    for place, column in enumerate(known):
        expected = [column.min(), column.max(), column.mean(), column.std()]
        assert list(moments.described(place).values()) == pytest.approx(expected)
    whole = np.concatenate(known)
    expected = [whole.min(), whole.max(), whole.mean(), whole.std()]
    assert list(moments.whole().described(0).values()) == pytest.approx(expected)


def test_groups_never_stand_on_both_sides(ingest: Any) -> None:
    rows = [{"x": n, "y": n % 7, "speaker": f"s{n % 20}", "label": "ab"[n % 2]} for n in range(400)]
    made = ingest({"d": csv(rows)}, columns={"group": "speaker", "label": "label"})
    where = places(made)
    by_group = {f"s{g}": {where[n] for n in range(g, 400, 20)} for g in range(20)}
    assert all(len(splits) == 1 for splits in by_group.values())
    assert made.profile["splits"] == {"train": 320, "validation": 40, "test": 40}
    assert made.read("group").tolist() == [f"s{n % 20}" for n in range(400)]


def test_equal_rows_stay_on_one_side(ingest: Any) -> None:
    rows = [{"x": n % 60, "y": (n % 60) ** 2, "label": "ab"[n % 2]} for n in range(300)]
    made = ingest({"d": csv(rows)})
    where = places(made)
    assert all(len({where[n] for n in range(x, 300, 60)}) == 1 for x in range(60))
    assert made.profile["duplicates"] == 240
    assert min(made.profile["splits"].values()) >= 20
    kept = ingest({"d": csv(rows)}, cleaning={"duplicates": "drop"})
    assert kept.profile["rows"] == 60
    assert kept.profile["cleaning"]["dropped"] == {"duplicate": 240}
    kept = ingest({"d": csv(rows)}, cleaning={"duplicates": "keep"})
    assert (kept.profile["rows"], kept.profile["duplicates"]) == (300, 240)
    assert any("with an equal one in another split" in warning for warning in kept.profile["warnings"])


def test_given_splits_lose_rows_of_train_that_stand_in_test(ingest: Any) -> None:
    rows = [{"x": n, "split": "train"} for n in range(40)] + [{"x": n + 35, "split": "test"} for n in range(10)]
    made = ingest({"d": csv(rows)})
    assert made.profile["cleaning"]["dropped"] == {"duplicate_across_splits": 5}
    assert sorted(n for n, split in places(made).items() if split == "test") == list(range(40, 50))


def test_equal_rows_of_two_groups_make_them_one(ingest: Any) -> None:
    rows = [{"x": n if n < 300 else n - 300, "patient": f"p{n // 10}"} for n in range(400)]
    where = places(ingest({"d": csv(rows)}, columns={"group": "patient"}))
    assert all(where[n] == where[n + 300] for n in range(100))


@pytest.mark.parametrize("write", [csv, jsonl])
def test_rows_with_a_fault_are_left_out_where_asked(ingest: Any, write: Any) -> None:
    rows: list[dict[str, Any]] = [{"x": n, "z": n + 1} for n in range(40)]
    rows[4]["x"], rows[9]["z"] = "four", "nine"
    made = ingest({"d": write(rows)}, on_fault="drop")
    assert made.profile["rows"] == 38
    assert made.profile["cleaning"]["dropped"] == {"not_a_number": 2}
    assert sorted(set(range(40)) - set(places(made))) == [4, 9]
    assert ingest({"d": write(rows)}).codes == ["not_a_number"] * 2


def test_ragged_rows_are_left_out_where_asked(ingest: Any) -> None:
    made = ingest({"d.csv": b"a,b\n" + b"".join(b"%d,1\n" % n for n in range(20)) + b"1,2,3\n4,5\n"}, on_fault="drop")
    assert (made.profile["rows"], made.profile["cleaning"]["dropped"]) == (21, {"ragged_row": 1})


def test_texts_are_cleaned_and_counted(ingest: Any) -> None:
    dirty = [f"{text}\x00\x07" for text in TEXTS[:10]]
    dirty += [f"<p class='x'>{text}</p><script>var a</script> &amp; more" for text in TEXTS[10:20]]
    dirty += [f"cafe\u0301 {text}" for text in TEXTS[20:30]]
    dirty += [f"{text} {'and so on ' * 30}" for text in TEXTS[30:]]
    options = {"html": "remove", "max_characters": 100, "unicode": "nfc"}
    made = ingest({"d": jsonl([{"text": text} for text in dirty])}, cleaning=options)
    cleaned = made.read("input").tolist()
    assert cleaned[:10] == TEXTS[:10]
    assert cleaned[10:20] == [f"{text} & more" for text in TEXTS[10:20]]
    assert cleaned[20:30] == [f"caf\u00e9 {text}" for text in TEXTS[20:30]]
    assert all(len(text) == 100 for text in cleaned[30:])
    assert made.profile["cleaning"]["changed"] == {"html": 10, "unicode": 10, "control": 10, "cut": 10}


@pytest.mark.parametrize("long", ["cut", "drop", "fault"])
def test_texts_that_are_too_long(ingest: Any, long: str) -> None:
    texts = ["short and good", "x" * 100, *(f"text number {n}" for n in range(10))]
    content = {"x.jsonl": "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()}
    made = ingest(content, cleaning={"max_characters": 20, "long": long})
    if long == "fault":
        assert [(fault.row, fault.column, fault.code) for fault in made.faults] == [(2, "text", "long_text")]
        assert ingest(content, cleaning={"max_characters": 20, "long": long}, on_fault="drop").profile["rows"] == 11
        return
    assert made.read("input").tolist() == (texts[:1] + (["x" * 20] if long == "cut" else []) + texts[2:])
    found = made.profile["cleaning"]
    assert (found["changed"], found["dropped"]) == (({"cut": 1}, {}) if long == "cut" else ({}, {"long_text": 1}))


@pytest.mark.parametrize("empty", ["drop", "fault"])
def test_texts_that_are_too_short(ingest: Any, empty: str) -> None:
    content = {"x.jsonl": "".join(json.dumps({"text": f"{'ab' * n}"}) + "\n" for n in range(12)).encode()}
    made = ingest(content, cleaning={"min_characters": 5, "empty": empty})
    if empty == "drop":
        assert (made.profile["rows"], made.profile["cleaning"]["dropped"]) == (9, {"empty_text": 3})
    else:
        assert [(fault.row, fault.code) for fault in made.faults] == [(row, "empty_text") for row in (1, 2, 3)]


def test_nearly_constant_columns_are_warned_of(ingest: Any) -> None:
    rows = [{"x": n, "flag": int(n == 700), "z": n % 3} for n in range(1500)]
    (warning,) = [each for each in ingest({"d": csv(rows)}).profile["warnings"] if "one value in at least" in each]
    assert warning.startswith("1 column with one value in at least 999 of 1,000 rows: 'flag'")
    dropped = ingest({"d": csv(rows)}, cleaning={"constant": "drop"})
    assert not any("one value" in each for each in dropped.profile["warnings"])


def test_constant_columns_are_left_out_where_asked(ingest: Any) -> None:
    rows = [{"x": n, "same": 5, "z": -n} for n in range(40)]
    made = ingest({"d": csv(rows)}, cleaning={"constant": "drop"})
    assert made.profile["input"]["shape"] == [2]
    assert made.profile["cleaning"]["changed"] == {"constant_columns": 1}
    np.testing.assert_array_equal(made.read("input"), [[n, -n] for n in range(40)])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"text": "text", "image": "x"}, "image or text, not both"),
        ({"source": "a"}, "give both"),
        ({"label": "a", "value": "b"}, "label or value, not both"),
        ({"negative": "a"}, "left and right"),
    ],
)
def test_columns_that_exclude_or_need_each_other(ingest: Any, columns: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ingest({"d": b"a,b\n1,2\n"}, columns=columns)


def test_a_column_that_is_nearly_called_so_is_named(ingest: Any) -> None:
    made = ingest({"d.csv": b"age,Stars\n" + b"41,2\n" * 20}, columns={"label": "stars"})
    assert made.faults[0].message == "there is no column 'stars', did you mean 'Stars'? There are 'age', 'Stars'"
    made = ingest({"d.csv": b"age,Stars\n" + b"41,2\n" * 20}, columns={"label": "price"})
    assert made.faults[0].message == "there is no column 'price'; there are 'age', 'Stars'"


def test_names_where_numbers_were_asked_for(ingest: Any) -> None:
    made = ingest({"d.csv": b"age,left\n" + b"41,No\n" * 20}, columns={"value": "left"})
    assert "column 'left' holds no numbers but names like 'No'; names are for columns.label" in made.faults[0].message


def test_texts_where_vectors_were_asked_for(ingest: Any) -> None:
    said = ingest({"a.txt": b"a text of words\n" * 20}, modality="vectors").faults[0].message
    assert said.startswith("no column can be the input as modality vectors needs it; ")
    assert "columns.text" not in said
