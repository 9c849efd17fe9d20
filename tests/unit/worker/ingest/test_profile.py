"""What a careful practitioner would point out: planted in the data, found again, and not cried out where it is not."""

import json
from typing import Any

import numpy as np
import pytest

DRAWN = np.random.default_rng(0)
WORDS = [f"word{n}" for n in range(200)]


def blobs(rows: int = 600, width: int = 6) -> tuple[Any, Any]:
    """The same ones whichever tests ran before, and well apart."""
    drawn = np.random.default_rng(0)
    label = drawn.integers(0, 3, rows)
    return (drawn.normal(0, 8, (3, width))[label] + drawn.normal(0, 1, (rows, width))).astype(np.float32), label


def warned(made: Any) -> str:
    return " ".join(made.profile["warnings"])


def test_a_sound_table_gets_no_warning(ingest: Any, to_npz: Any) -> None:
    values, label = blobs()
    made = ingest({"d.npz": to_npz(x=values, y=label)})
    assert made.profile["warnings"] == []
    found = made.profile["examination"]
    assert found["sampled_rows"] == 480
    assert len(found["histograms"]) == 6
    assert all(sum(histogram["counts"]) == 480 for histogram in found["histograms"])
    assert found["label_noise"]["agreement"] > 0.95
    assert found["near_duplicates"] == {"validation": 0, "test": 0}
    assert "examination" not in ingest({"d.npz": to_npz(x=values, y=label)}, profile="basic").profile


def test_few_rows_to_judge_by_are_told(ingest: Any, to_npz: Any) -> None:
    values, label = blobs()
    made = ingest({"d.npz": to_npz(x=values[:100], y=label[:100])})
    assert "10 labelled rows will judge models: an accuracy there may be off by 31 points" in made.profile["warnings"]


def test_wrong_labels_are_suspected(ingest: Any, to_npz: Any) -> None:
    values, label = blobs()
    wrong = np.arange(0, 600, 30)
    label[wrong] = (label[wrong] + 1) % 3
    made = ingest({"d.npz": to_npz(x=values, y=label)})
    noise = made.profile["examination"]["label_noise"]
    listed = {each["row"] for each in noise["rows"]}
    looked_at = set(wrong.tolist()) & set(made.splits["train"].read("row", 0).tolist())
    assert len(listed) > 0.8 * len(looked_at)
    assert listed <= looked_at
    assert "disagree with nearly all their neighbours" in warned(made)


def test_a_split_that_is_another_world(ingest: Any, to_npz: Any) -> None:
    values, label = blobs()
    split = np.array(["train"] * 400 + ["test"] * 200)
    made = ingest({"d.npz": to_npz(x=values, y=label, split=split)}, columns={"split": "split", "features": "x"})
    assert made.profile["examination"]["drift"]["columns"] == []
    values[400:, 2] += 3
    made = ingest({"d.npz": to_npz(x=values, y=label, split=split)}, columns={"split": "split", "features": "x"})
    assert [column["name"] for column in made.profile["examination"]["drift"]["columns"]] == ["x[2]"]
    assert "train and test differ in 'x[2]'" in warned(made)


def test_a_column_that_gives_the_label_away(ingest: Any) -> None:
    rows = [f"{DRAWN.normal()},{n % 2 + 0.5},{'ab'[n % 2]}" for n in range(400)]
    made = ingest({"d.csv": ("x,paid,label\n" + "\n".join(rows)).encode()})
    assert made.profile["examination"]["leaks"] == [{"column": "paid", "accuracy": 1.0}]
    assert "'paid' alone gives the label away" in warned(made)


def test_a_column_that_is_zero_or_empty_but_for_one_class(ingest: Any) -> None:
    lost = DRAWN.random(400) < 0.3
    rows = [
        f"{DRAWN.normal()},{fee if out else 0},{fee if out else ''},{'ab'[int(out)]}"
        for out, fee in zip(lost, DRAWN.uniform(1, 9, 400), strict=True)
    ]
    made = ingest({"d.csv": ("x,fee,paid,label\n" + "\n".join(rows)).encode()}, cleaning={"non_finite": "impute"})
    assert [leak["column"] for leak in made.profile["examination"]["leaks"]] == ["fee", "paid"]


def test_a_column_that_is_the_value_in_other_words(ingest: Any) -> None:
    wages = DRAWN.lognormal(3, 0.5, 300)
    rows = [f"{wage + 20 * DRAWN.normal()},{np.log(wage)},{-(wage // 2)},{wage}" for wage in wages]
    made = ingest({"d.csv": ("hint,log,rounded,value\n" + "\n".join(rows)).encode()}, columns={"value": "value"})
    assert [leak["column"] for leak in made.profile["examination"]["leaks"]] == ["log", "rounded"]
    assert made.profile["examination"]["leaks"][0]["rank_correlation"] == 1.0
    assert "'log' alone puts rows in the order of the value" in warned(made)


def test_a_word_that_gives_the_label_away(ingest: Any) -> None:
    rows = [
        {"text": " ".join([*DRAWN.choice(WORDS, 8), "unsubscribe" if n % 2 else "regards"]), "label": "ab"[n % 2]}
        for n in range(300)
    ]
    made = ingest({"d": b"".join(json.dumps(row).encode() + b"\n" for row in rows)})
    assert [leak["column"] for leak in made.profile["examination"]["leaks"]] == ["regards", "unsubscribe"]


def test_nearly_equal_rows_across_splits(ingest: Any, to_npz: Any) -> None:
    texts = [" ".join(DRAWN.choice(WORDS, 8)) for _ in range(100)]
    rows = [{"text": text, "split": "train"} for text in texts]
    rows += [{"text": f"{text.title()}!", "split": "test"} for text in texts[:7]]
    rows += [{"text": " ".join(DRAWN.choice(WORDS, 8)), "split": "test"} for _ in range(20)]
    made = ingest({"d": b"".join(json.dumps(row).encode() + b"\n" for row in rows)})
    assert made.profile["examination"]["near_duplicates"]["test"] >= 5  # some of their doubles went to validation
    pictures = DRAWN.integers(0, 256, (60, 16, 16), dtype=np.uint8)
    pictures[50:55] = pictures[:5]
    pictures[50:55, 3, 3] ^= 1
    split = np.array(["train"] * 50 + ["test"] * 10)
    made = ingest({"d.npz": to_npz(x=pictures, split=split)}, columns={"image": "x", "split": "split"})
    assert made.profile["examination"]["near_duplicates"]["test"] >= 4
    assert "nearly equal row in train" in warned(made)


def test_a_few_numbers_that_meet_by_chance_are_no_doubles(ingest: Any) -> None:
    numbers = DRAWN.permutation(2000)
    made = ingest({"d.csv": ("x\n" + "".join(f"{number}.5\n" for number in numbers)).encode()})
    assert made.profile["examination"]["near_duplicates"] == {"validation": 0, "test": 0}
    rows = DRAWN.normal(size=(400, 6))
    rows[300:] = rows[:100] + 1e-6
    table = "".join(",".join(map(str, row)) + f",{'train' if n < 300 else 'test'}\n" for n, row in enumerate(rows))
    made = ingest({"d.csv": ("a,b,c,d,e,f,split\n" + table).encode()})
    assert made.profile["examination"]["near_duplicates"]["test"] > 70  # doubles of some went to validation


def test_names_are_counted_by_name(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{['red', 'red', 'blue'][n % 3]}\n" for n in range(60))
    made = ingest({"d.csv": f"x,colour\n{rows}".encode()}, columns={"features": ["x", "colour"]})
    colour = made.profile["examination"]["histograms"][1]
    assert colour["values"] == ["red", "blue"]
    assert sum(colour["counts"]) == made.profile["splits"]["train"]


def test_uneven_and_lone_classes_and_too_few_rows(ingest: Any, to_npz: Any) -> None:
    label = np.array(["common"] * 380 + ["rare"] * 19 + ["lone"])
    made = ingest({"d.npz": to_npz(x=DRAWN.normal(size=(400, 3)), y=label)})
    assert "classes are uneven" in warned(made)
    assert "1 class with a single row" in warned(made)
    made = ingest({"d.npz": to_npz(x=DRAWN.normal(size=(40, 30)))})
    assert "32 training rows for 30 columns: a network" in warned(made)


def test_values_far_out_and_plain_pictures(ingest: Any, to_npz: Any) -> None:
    values, label = blobs()
    values[::100, 1] = 1e4
    made = ingest({"d.npz": to_npz(x=values, y=label)})
    assert made.profile["examination"]["outliers"]["columns"][0]["name"] == "x[1]"
    pictures = DRAWN.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    pictures[:5] = np.arange(5)[:, None, None]
    made = ingest({"d.npz": to_npz(x=pictures)}, split={"train": 0.9, "validation": 0.1})
    assert 3 <= made.profile["examination"]["outliers"]["plain_pictures"] <= 5


@pytest.mark.parametrize("rows", [2, 3, 10])
def test_a_few_rows_are_examined_without_fault(ingest: Any, to_npz: Any, rows: int) -> None:
    values, label = blobs(rows)
    assert ingest({"d.npz": to_npz(x=values, y=label)}).profile["examination"]["label_noise"] is None


def test_classes_of_one_spelling_and_one_class_alone(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{['spam', 'Spam', 'no spam', 'No-Spam', 'a', 'A', '-1', '1'][n % 8]}\n" for n in range(160))
    said = warned(ingest({"d.csv": f"x,label\n{rows}".encode()}))
    assert "the classes 'No-Spam', 'no spam' differ in spelling alone; are they one?" in said
    assert "the classes 'Spam', 'spam' differ" in said
    assert "'A'" not in said
    assert "'1'" not in said
    rows = "".join(f"{n}.5,spam\n" for n in range(40))
    said = warned(ingest({"d.csv": f"x,label\n{rows}".encode()}, columns={"label": "label"}))
    assert "every labelled row of 'label' has the class 'spam': nothing to tell apart" in said


def test_classes_called_like_gaps(ingest: Any) -> None:
    rows = "".join(f"{n}.5,{['man', 'NA', 'woman', '', 'n'][n % 5]}\n" for n in range(160))
    said = warned(ingest({"d.csv": f"x,sex\n{rows}".encode()}))
    assert "'NA' in 'sex' counts as a class; leave such cells empty if it means no label" in said
    assert "counts as a class" not in warned(ingest({"d.csv": f"x,sex\n{rows.replace('NA', 'none')}".encode()}))


def test_splits_that_differ_since_equal_rows_stay_together(ingest: Any) -> None:
    text = "temperature\n" + "".join(f"{value:.0f}\n" for value in 15 + 5 * np.random.default_rng(1).normal(size=4000))
    why = """differ in 'temperature'; equal rows stay on one side, and cleaning {"duplicates": "keep"} draws each by"""
    assert why in warned(ingest({"d.csv": text.encode()}))
    assert "differ in" not in warned(ingest({"d.csv": text.encode()}, cleaning={"duplicates": "keep"}))


def test_pictures_differ_in_principal_components(ingest: Any, to_npz: Any) -> None:
    pixels = DRAWN.integers(0, 100, (200, 8, 8)).astype(np.uint8)
    pixels[100:, :, :4] += 120
    split = np.array(["train"] * 100 + ["test"] * 100)
    made = ingest({"d.npz": to_npz(x=pixels, split=split)}, columns={"split": "split", "image": "x"})
    assert "train and test differ in 'principal component " in warned(made)
