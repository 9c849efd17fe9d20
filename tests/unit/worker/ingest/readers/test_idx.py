"""IDX, plain and packed: what the header says must be there, no more and no less."""

import gzip
from typing import Any

import numpy as np
import pytest

IMAGES = np.arange(20 * 4 * 3, dtype=np.uint8).reshape(20, 4, 3)
LABELS = (np.arange(20) % 4).astype(np.uint8)


@pytest.mark.parametrize("packed", [False, True])
def test_images_in_one_file_and_labels_in_another(ingest: Any, to_idx: Any, packed: bool) -> None:
    pack, ending = (gzip.compress, ".gz") if packed else (bytes, "")
    made = ingest(
        {
            f"train-images-idx3-ubyte{ending}": pack(to_idx(IMAGES)),
            f"train-labels-idx1-ubyte{ending}": pack(to_idx(LABELS)),
        }
    )
    np.testing.assert_array_equal(made.read("input")[..., 0], IMAGES)
    assert made.read("target").tolist() == [str(label) for label in LABELS]
    assert made.profile["input"]["name"] == "train-images-idx3-ubyte"
    assert made.profile["target"]["name"] == "train-labels-idx1-ubyte"


def test_four_files_split_by_name(ingest: Any, to_idx: Any) -> None:
    files = {"train-x": IMAGES[:14], "train-y": LABELS[:14], "test-x": IMAGES[14:], "test-y": LABELS[14:]}
    made = ingest(
        {name: to_idx(values) for name, values in files.items()},
        split={"files": {"train": ["train-x", "train-y"], "test": ["test-x", "test-y"]}},
    )
    assert made.profile["splits"] == {"train": 13, "validation": 1, "test": 6}
    np.testing.assert_array_equal(made.splits["test"].read("input", 0)[..., 0], IMAGES[14:])
    assert made.read("target").tolist() == [str(label) for label in LABELS]


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "f4", "f8"])
def test_every_type(ingest: Any, to_idx: Any, kind: str) -> None:
    values = (np.arange(40) - 20).reshape(10, 4).astype(kind)
    np.testing.assert_array_equal(ingest({"x.idx": to_idx(values)}).read("input"), values.astype(np.float32))


@pytest.mark.parametrize("packed", [False, True])
def test_cut_short(ingest: Any, to_idx: Any, packed: bool) -> None:
    whole = gzip.compress(to_idx(IMAGES)) if packed else to_idx(IMAGES)
    made = ingest({"x": whole[:-5]})
    assert made.codes == ["truncated"]
    assert "cut short" in made.faults[0].message


def test_cut_short_within_the_header(ingest: Any, to_idx: Any) -> None:
    assert ingest({"x": to_idx(IMAGES)[:9]}).codes == ["truncated"]


def test_more_bytes_than_announced(ingest: Any, to_idx: Any) -> None:
    made = ingest({"x": to_idx(IMAGES) + b"!"})
    assert made.codes == ["damaged"]
    assert "257 instead of 256" in made.faults[0].message


def test_packed_beyond_the_limit(ingest: Any, to_idx: Any) -> None:
    content = gzip.compress(to_idx(np.zeros((300, 10, 1000), np.uint8)))
    assert ingest({"x": content}, limit=2**21).codes == ["unpacks_too_large"]


def test_gzip_of_something_else(ingest: Any) -> None:
    assert ingest({"x.gz": gzip.compress(b"\x80\x04hello")}).codes == ["unknown_format"]


def test_damaged_gzip(ingest: Any, to_idx: Any) -> None:
    content = bytearray(gzip.compress(to_idx(np.random.default_rng(0).integers(0, 256, (20, 4, 3), np.uint8))))
    content[30:40] = bytes(10)
    assert ingest({"x.gz": bytes(content)}).codes == ["damaged"]
