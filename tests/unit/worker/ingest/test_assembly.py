"""Several files, splits, and what a dataset cannot be made of."""

from typing import Any

import numpy as np
import pytest

VALUES = np.arange(40, dtype=np.float32).reshape(20, 2)
LABELS = np.array(["a", "b"] * 10)
TABLE = "x,y,label\n" + "".join(f"{n},{-n},{'ab'[n % 2]}\n" for n in range(20))


def rows_of(made: Any, split: str) -> list[int]:
    part = made.splits[split]
    return [row for n in range(part.batches) for row in part.read("row", n).tolist()]


def test_files_with_the_same_columns_are_stacked(ingest: Any) -> None:
    made = ingest({"1.csv": TABLE.encode(), "2.csv": TABLE.encode()})
    assert made.profile["rows"] == 40
    assert made.read("input")[:, 0].tolist() == [*range(20), *range(20)]


def test_a_fault_in_a_stacked_file_has_its_own_row(ingest: Any) -> None:
    made = ingest({"1.csv": TABLE.encode(), "2.csv": TABLE.replace("7,-7", "7,nan").encode()})
    assert [(fault.file, fault.row, fault.column) for fault in made.faults] == [("2.csv", 8, "y")]


def test_stacked_arrays_must_agree_in_shape(ingest: Any, to_npz: Any) -> None:
    made = ingest({"1.npz": to_npz(x=VALUES), "2.npz": to_npz(x=VALUES.reshape(10, 4))})
    assert made.codes == ["shapes_differ"]


def test_files_with_other_columns_are_joined(ingest: Any, to_npy: Any) -> None:
    made = ingest({"labels.npy": to_npy(LABELS), "points.npy": to_npy(VALUES)})
    np.testing.assert_array_equal(made.read("input"), VALUES)
    assert made.read("target").tolist() == LABELS.tolist()


def test_features_may_come_from_several_arrays(ingest: Any, to_npz: Any) -> None:
    made = ingest({"d.npz": to_npz(a=VALUES, b=VALUES[:, 0], c=LABELS)}, columns={"features": ["b", "a"], "label": "c"})
    np.testing.assert_array_equal(made.read("input"), np.column_stack([VALUES[:, 0], VALUES]))


def test_labels_of_another_length(ingest: Any, to_npy: Any) -> None:
    made = ingest({"points.npy": to_npy(VALUES), "labels.npy": to_npy(LABELS[:-3])})
    assert (made.codes, made.faults[0].file) == (["length_mismatch"], "labels.npy")
    assert "17 rows" in made.faults[0].message
    assert "20" in made.faults[0].message


def test_columns_that_overlap_in_part(ingest: Any) -> None:
    made = ingest({"1.csv": TABLE.encode(), "2.csv": b"x,z\n1,2\n"})
    assert (made.codes, made.faults[0].column) == (["columns_differ"], "x")


def test_an_unknown_column_says_what_is_there(ingest: Any) -> None:
    made = ingest({"1.csv": TABLE.encode()}, columns={"label": "species", "features": ["x", "z"]})
    assert [(fault.code, fault.column) for fault in made.faults] == [
        ("unknown_column", "z"),
        ("unknown_column", "species"),
    ]
    assert "'x', 'y', 'label'" in made.faults[0].message


@pytest.mark.parametrize(
    ("arrays", "options", "code"),
    [
        ({"a": VALUES, "b": VALUES}, {}, "ambiguous_columns"),
        ({"x": VALUES, "one": LABELS, "two": LABELS}, {}, "ambiguous_columns"),
        ({"x": VALUES}, {"modality": "image"}, "unsupported_shape"),
        ({"x": np.zeros((5, 4, 4, 2))}, {}, "unsupported_shape"),
        ({"x": LABELS}, {}, "no_input"),
        ({"x": LABELS}, {"columns": {"features": "x"}}, "not_a_number"),
        ({"x": VALUES, "y": VALUES}, {"columns": {"features": "x", "label": "y"}}, "unsupported_shape"),
        ({"x": VALUES[:1]}, {}, "single_row"),
        ({"x": VALUES[:0]}, {}, "no_rows"),
    ],
)
def test_what_no_dataset_can_be_made_of(
    ingest: Any, to_npz: Any, arrays: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    assert ingest({"d.npz": to_npz(**arrays)}, **options).codes == [code]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n \r\n\t\n", "empty_file"),
        (b"a,b\n", "no_rows"),
        (b"a,b\n1,2\n", "single_row"),
        (b"\x80\x04\x95", "unknown_format"),
        (b"GIF89a\0\0", "unknown_format"),
    ],
)
def test_files_that_hold_nothing_to_use(ingest: Any, content: bytes, code: str) -> None:
    made = ingest({"upload": content})
    assert made.codes == [code]
    assert "upload" in made.faults[0].message


def test_another_format_than_was_asked_for(ingest: Any, to_npy: Any) -> None:
    made = ingest({"x": to_npy(VALUES)}, format="csv")
    assert made.codes == ["unknown_format"]
    assert "looks like npy" in made.faults[0].message


def test_every_empty_file_is_reported(ingest: Any) -> None:
    assert [fault.file for fault in ingest({"1": b"", "2": TABLE.encode(), "3": b""}).faults] == ["1", "3"]


def test_without_a_wish_rows_are_drawn_80_10_10_by_class(ingest: Any, to_npz: Any) -> None:
    content = to_npz(x=np.zeros((1000, 2)), y=np.repeat([0, 1, 2], [700, 200, 100]))
    made = ingest({"d.npz": content})
    assert made.profile["splits"] == {"train": 800, "validation": 100, "test": 100}
    assert made.profile["target"]["splits"]["test"] == {"0": 70, "1": 20, "2": 10}
    again = ingest({"d.npz": content})
    assert rows_of(made, "test") == rows_of(again, "test")
    assert made.profile == again.profile


def test_fractions_and_seed(ingest: Any, to_npz: Any) -> None:
    content = to_npz(x=VALUES, y=LABELS)
    halves = [ingest({"d.npz": content}, split={"train": 0.5, "test": 0.5, "seed": seed}) for seed in (1, 2)]
    assert halves[0].profile["splits"] == {"train": 9, "validation": 1, "test": 10}
    assert rows_of(halves[0], "test") != rows_of(halves[1], "test")


def test_a_split_column_in_any_table(ingest: Any) -> None:
    names = ["train"] * 12 + ["validation"] * 3 + ["test"] * 5
    text = "x,split,label\n" + "".join(f"{n},{name},{'ab'[n % 2]}\n" for n, name in enumerate(names))
    for options in ({}, {"columns": {"split": "split"}}):
        made = ingest({"d.csv": text.encode()}, **options)
        assert rows_of(made, "train") == list(range(12))
        assert rows_of(made, "validation") == [12, 13, 14]
        assert rows_of(made, "test") == [15, 16, 17, 18, 19]


def test_other_words_for_splits(ingest: Any) -> None:
    words = ["train", "Training", "train", "val", "dev", "valid", "Test", "testing"]
    made = ingest({"d.csv": ("x,split\n" + "".join(f"{n},{word}\n" for n, word in enumerate(words))).encode()})
    assert made.profile["splits"] == {"train": 3, "validation": 3, "test": 2}


def test_a_split_column_with_another_word(ingest: Any) -> None:
    made = ingest({"d.csv": b"x,split\n1,train\n2,train\n3,other\n4,\n"})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [
        ("unknown_split", 3, "split"),
        ("unknown_split", 4, "split"),
    ]
    assert "'other' is no split; give train, validation, test" in made.faults[0].message


def test_a_test_file_without_labels(ingest: Any) -> None:
    unlabelled = b"x,y\n1,2\n3,4\n"
    made = ingest(
        {"1.csv": TABLE.encode(), "2.csv": unlabelled}, split={"files": {"train": ["1.csv"], "test": ["2.csv"]}}
    )
    assert made.profile["splits"] == {"train": 18, "validation": 2, "test": 2}
    assert made.splits["test"].present("target").tolist() == [False, False]
    assert made.read("input")[-2:].tolist() == [[1, 2], [3, 4]]


def test_files_of_other_widths_in_two_splits(ingest: Any, to_npy: Any) -> None:
    made = ingest(
        {"a.npy": to_npy(VALUES), "b.npy": to_npy(VALUES.reshape(10, 4))},
        split={"files": {"train": ["a.npy"], "test": ["b.npy"]}},
    )
    assert made.codes == ["shapes_differ"]


def test_a_split_without_rows_to_learn_from(ingest: Any) -> None:
    assert ingest({"d.csv": b"x,split\n1,test\n2,test\n"}).codes == ["too_few_rows"]


def test_a_dataset_of_which_nothing_is_left_says_what_became_of_it(ingest: Any) -> None:
    (fault,) = ingest({"d.txt": b"one\ntwo\nsix\n"}, cleaning={"min_characters": 9}).faults

    assert fault.code == "too_few_rows"
    assert fault.message.endswith("each needs at least 1; 3 rows left out: empty_text")


def test_batches_have_a_few_megabytes(ingest: Any, to_npy: Any) -> None:
    made = ingest({"x.npy": to_npy(np.zeros((1200, 2048), np.float32))}, cleaning={"duplicates": "keep"})
    assert sum(made.splits["train"].sizes) == 960
    assert all(2 << 20 <= size * 2048 * 4 <= 4 << 20 for size in made.splits["train"].sizes[:-1])


def test_surprises_are_warned_of(ingest: Any) -> None:
    text = "x,constant,label\n" + "".join(f"{n},5,name{n}\n" for n in range(10))
    warnings = " ".join(ingest({"d.csv": text.encode()}).profile["warnings"])
    assert "same value in every row: 'constant'" in warnings
    assert "10 classes for 10 labelled rows" in warnings
    assert "no labelled row of the split train" in warnings
    withheld = ingest({"d.csv": b"x,label\n1,\n2,\n3,\n"})
    assert withheld.profile["target"] is None
    assert "withheld" in withheld.profile["warnings"][0]


def test_a_column_y_beside_a_label_is_a_feature(ingest: Any) -> None:
    made = ingest({"d.csv": TABLE.encode()})
    assert (made.profile["target"]["name"], made.profile["input"]["shape"]) == ("label", [2])
