"""A dataset opened at a path: views of the mapped file, in the shapes that the profile tells."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from app.dataset import INFO, ROW, Split, field, open_dataset, split_file
from app.dataset_options import SPLITS
from app.errors import ArtifactDamaged

CODES = [0, 1, None, 0, 1]


def write(path: Path, values: NDArray[Any], shape: list[int], *, labelled: bool, batch: int = 2) -> None:
    modality = "image" if values.dtype == np.uint8 else "vectors"
    labels = [field("target", "classes")] if labelled else []
    columns = pa.schema([field("input", modality, shape), *labels, ROW])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, columns) as writer:
        for start in range(0, len(values), batch):
            part = values[start : start + batch]
            kind = columns.field("input").type
            arrays = [pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), type=kind)]
            if labelled:
                codes = pa.array(CODES[start : start + len(part)], pa.int32())
                arrays.append(pa.DictionaryArray.from_arrays(codes, pa.array(["cat", "dog"])))
            arrays.append(pa.array(range(start, start + len(part)), pa.int64()))
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=columns))


def folder(path: Path, values: NDArray[Any], shape: list[int], *, labelled: bool = True) -> dict[str, Path]:
    files = {split_file(split): path / split_file(split) for split in SPLITS}
    write(files["train.arrow"], values, shape, labelled=labelled)
    write(files["validation.arrow"], values[:1], shape, labelled=labelled)
    write(files["test.arrow"], values[:0], shape, labelled=labelled)
    info = {"format": 2, "fingerprint": "f", "profile": {"rows": len(values)}}
    (path / INFO).write_text(json.dumps(info))
    return files | {INFO: path / INFO}


def test_vectors_come_as_rows_of_float32(tmp_path: Path) -> None:
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    train = open_dataset(folder(tmp_path, values, [3])).splits["train"]
    assert (train.rows, train.batches, train.sizes) == (5, 3, [2, 2, 1])
    np.testing.assert_array_equal(np.concatenate([train.read("input", n) for n in range(3)]), values)
    assert train.read("input", 2).dtype == np.float32
    assert train.read("row", 1).tolist() == [2, 3]


@pytest.mark.parametrize("rows", [[], [1], [0, 1]])
def test_some_rows_of_a_batch(tmp_path: Path, rows: list[int]) -> None:
    values = np.arange(20, dtype=np.uint8).reshape(5, 4)
    train = open_dataset(folder(tmp_path, values, [2, 2, 1])).splits["train"]
    chosen = np.array(rows, np.int64)
    np.testing.assert_array_equal(train.read("input", 1, chosen), values[2:4].reshape(2, 2, 2, 1)[chosen])
    assert train.read("target", 1, chosen).tolist() == [[None, "cat"][row] for row in rows]
    assert train.read("source", 1, chosen).tolist() == [None] * len(rows)


def test_images_come_in_their_shape(tmp_path: Path) -> None:
    values = np.arange(5 * 4, dtype=np.uint8).reshape(5, 4)
    train = open_dataset(folder(tmp_path, values, [2, 2, 1])).splits["train"]
    assert train.read("input", 0).shape == (2, 2, 2, 1)
    np.testing.assert_array_equal(train.read("input", 1)[0, :, :, 0], [[8, 9], [10, 11]])


def test_input_is_a_view_of_the_mapped_file(tmp_path: Path) -> None:
    train = open_dataset(folder(tmp_path, np.ones((5, 3), np.float32), [3])).splits["train"]
    before = pa.total_allocated_bytes()
    view = train.read("input", 0)
    assert pa.total_allocated_bytes() == before
    assert not view.flags.writeable
    assert not view.flags.owndata


def test_targets_are_names_and_none_where_withheld(tmp_path: Path) -> None:
    train = open_dataset(folder(tmp_path, np.ones((5, 3), np.float32), [3])).splits["train"]
    assert [train.read("target", n).tolist() for n in range(3)] == [["cat", "dog"], [None, "cat"], ["dog"]]
    assert train.present("target").tolist() == [True, True, False, True, True]
    assert train.present("input").tolist() == [True] * 5


def test_without_labels_every_target_is_absent(tmp_path: Path) -> None:
    train = open_dataset(folder(tmp_path, np.ones((5, 3), np.float32), [3], labelled=False)).splits["train"]
    assert train.present("target").tolist() == [False] * 5
    assert train.read("target", 0).tolist() == [None, None]


def test_an_empty_split_has_no_batches(tmp_path: Path) -> None:
    test = open_dataset(folder(tmp_path, np.ones((5, 3), np.float32), [3])).splits["test"]
    assert (test.rows, test.batches, test.sizes) == (0, 0, [])
    assert test.present("target").tolist() == []


def test_profile_is_what_was_stored(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, np.ones((5, 3), np.float32), [3]))
    assert dataset.profile == {"rows": 5}
    assert dataset.info["fingerprint"] == "f"


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    files = folder(tmp_path, np.ones((5, 3), np.float32), [3])
    del files["test.arrow"]
    with pytest.raises(ArtifactDamaged, match=r"test\.arrow"):
        open_dataset(files)


def test_a_split_that_is_no_arrow_file_is_refused(tmp_path: Path) -> None:
    files = folder(tmp_path, np.ones((5, 3), np.float32), [3])
    files["train.arrow"].write_bytes(b"not arrow")
    with pytest.raises(ArtifactDamaged, match="cannot be read"):
        open_dataset(files)


def test_another_format_is_refused(tmp_path: Path) -> None:
    files = folder(tmp_path, np.ones((5, 3), np.float32), [3])
    files[INFO].write_text(json.dumps({"format": 1, "profile": {}}))
    with pytest.raises(ArtifactDamaged, match="format 1"):
        open_dataset(files)


def test_large_splits_are_sized_without_reading_their_values(tmp_path: Path) -> None:
    write(tmp_path / "x.arrow", np.ones((1000, 4), np.float32)[:5], [4], labelled=True, batch=1)
    assert Split(tmp_path / "x.arrow").sizes == [1, 1, 1, 1, 1]
