"""Archives of pictures: folders, metadata, formats and sizes, and every picture that cannot be read."""

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from app.ml.image.pictures import decode, measure, recolour, resize
from tests.picture_archives import picture, to_tar, to_zip
from worker.ingest.archives import items

CATS = {f"pets/{'cat' if n % 2 else 'dog'}/{n}.png": picture(n) for n in range(20)}
PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": to_zip,
    "tar": to_tar,
    "tar.gz": lambda members: gzip.compress(to_tar(members)),
}
every = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)


def found(made: Any) -> list[tuple[str, int | None, str | None]]:
    return [(fault.code, fault.row, fault.column) for fault in made.faults]


@every
def test_folders_are_classes(ingest: Any, pack: Any) -> None:
    made = ingest({"pets": pack(CATS)})
    assert (made.profile["modality"], made.profile["input"]["shape"]) == ("image", [4, 6, 1])
    assert made.read("input")[:, 0, 0, 0].tolist() == list(range(20))
    assert made.read("target").tolist() == ["dog", "cat"] * 10
    assert made.profile["splits"] == {"train": 16, "validation": 2, "test": 2}
    assert made.profile["inferred"]["label"] == "the folder in which the picture lies"
    assert made.profile["inferred"]["image"] == "all pictures are 4 x 6 with 1 channel"


@every
def test_top_folders_are_splits(ingest: Any, pack: Any) -> None:
    tops = ["train"] * 12 + ["Val"] * 4 + ["test"] * 4
    members = {f"data/{top}/{'ab'[n % 2]}/{n}.png": picture(n) for n, top in enumerate(tops)}
    made = ingest({"x": pack(members)})
    assert made.profile["splits"] == {"train": 12, "validation": 4, "test": 4}
    assert made.splits["test"].read("row", 0).tolist() == [16, 17, 18, 19]
    assert made.profile["target"]["classes"] == {"a": 10, "b": 10}
    drawn = ingest({"x": pack(members)}, split={"train": 0.5, "test": 0.5})
    assert drawn.profile["splits"]["test"] == 10
    assert drawn.profile["target"]["classes"] == {"a": 10, "b": 10}


def test_folders_of_pictures_that_nobody_labelled(ingest: Any) -> None:
    members = {f"{('Unlabeled', 'a', 'b')[n % 3]}/{n}.png": picture(n) for n in range(30)}
    made = ingest({"x": to_zip(members)})
    assert made.profile["target"]["classes"] == {"a": 10, "b": 10}
    assert made.profile["target"]["missing"] == 10


def test_a_class_may_be_called_train(ingest: Any) -> None:
    members = {f"{'train' if n % 2 else 'car'}/{n}.png": picture(n) for n in range(10)}
    assert ingest({"x": to_zip(members)}).profile["target"]["classes"] == {"car": 5, "train": 5}


def test_pictures_beside_the_splits(ingest: Any) -> None:
    members = {f"{top}/a/{n}.png": picture(n) for n, top in enumerate(["train", "test", "more"])}
    made = ingest({"x": to_zip(members)})
    assert made.codes == ["unknown_split"]
    assert "'more' beside test, train" in made.faults[0].message


def test_one_archive_for_each_class_and_each_split(ingest: Any) -> None:
    cats, dogs = ({f"{name}/{n}.png": picture(n) for n in range(6)} for name in ("cat", "dog"))
    made = ingest({"1.zip": to_zip(cats), "2.tar": to_tar(dogs)})
    assert made.profile["target"]["classes"] == {"cat": 6, "dog": 6}
    flat = {f"{n}.png": picture(n + 50) for n in range(4)}
    made = ingest(
        {"1.zip": to_zip(CATS), "2.zip": to_zip(flat)}, split={"files": {"train": ["1.zip"], "test": ["2.zip"]}}
    )
    assert made.profile["splits"] == {"train": 18, "validation": 2, "test": 4}
    assert made.splits["test"].read("target", 0).tolist() == [None] * 4


def rows(kind: str, entries: list[dict[str, Any]]) -> dict[str, bytes]:
    if kind == "jsonl":
        return {"metadata.jsonl": "".join(json.dumps(entry) + "\n" for entry in entries).encode()}
    lines = [",".join(entries[0]), *(",".join(map(str, entry.values())) for entry in entries)]
    return {"Metadata.csv": "\n".join(lines).encode()}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@every
def test_metadata(ingest: Any, pack: Any, kind: str) -> None:
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    entries = [
        {"file_name": f"img/{n}.png", "label": n % 3, "split": split, "age": n, "caption": f"number {n}"}
        for n, split in enumerate(splits)
    ]
    members = {f"img/{n}.png": picture(n) for n in range(10)}
    made = ingest({"x": pack(rows(kind, entries[::-1]) | members)})
    assert made.read("target").tolist() == [str(n % 3) for n in range(10)]
    assert made.profile["splits"] == {"train": 6, "validation": 2, "test": 2}
    assert made.profile["inferred"]["ignored"] == ["age"]
    assert made.read("caption").tolist() == [f"number {n}" for n in range(10)]
    other = ingest({"x": pack(rows(kind, entries) | members)}, columns={"label": "age"})
    assert other.read("target").tolist() == [str(n) for n in range(10)]


def test_metadata_in_every_split(ingest: Any) -> None:
    members = {}
    for split, count in (("train", 6), ("test", 3)):
        lines = "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(count))
        members[f"{split}/metadata.csv"] = b"file_name,label\n" + lines.encode()
        members |= {f"{split}/{n}.png": picture(n + count) for n in range(count)}
    made = ingest({"x": to_zip(members)}, cleaning={"duplicates": "keep"})
    assert made.read("target").tolist() == [*"ababab", *"aba"]
    assert made.profile["splits"] == {"train": 5, "validation": 1, "test": 3}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_and_files_without_each_other(ingest: Any, kind: str) -> None:
    members = {f"{n}.png": picture(n) for n in range(4)}
    entries = [{"file_name": f"{n}.png", "label": "ab"[n % 2]} for n in range(4)]
    made = ingest({"x.zip": to_zip(rows(kind, [*entries, {"file_name": "gone.png", "label": "a"}]) | members)})
    assert found(made) == [("missing_file", 5, "file_name")]
    assert "'gone.png' is not in the archive" in made.faults[0].message
    made = ingest({"x.zip": to_zip(rows(kind, entries[:3]) | members)})
    assert found(made) == [("missing_row", 4, None)]
    assert "'3.png'" in made.faults[0].message
    assert found(ingest({"x": to_zip(rows(kind, [*entries, entries[1]]) | members)})) == [
        ("duplicate_row", 5, "file_name")
    ]
    made = ingest({"x": to_zip(rows(kind, [entry | {"split": "other"} for entry in entries]) | members)})
    assert found(made)[0] == ("unknown_split", 1, "split")
    wrong = [*entries[:3], {"file_name": "gone.png", "label": "a"}, entries[1]]
    made = ingest({"x.zip": to_zip(rows(kind, wrong) | members)}, on_fault="drop")
    assert made.profile["cleaning"]["dropped"] == {"missing_file": 1, "duplicate_row": 1, "missing_row": 1}
    assert made.read("target").tolist() == ["a", "b", "a"]
    split = [entry | {"split": "other" if n == 2 else "train"} for n, entry in enumerate(entries)]
    made = ingest({"x": to_zip(rows(kind, split) | members)}, on_fault="drop")
    assert made.profile["cleaning"]["dropped"] == {"unknown_split": 1}
    assert found(ingest({"x": to_zip(rows(kind, [{"label": "a"}] * 4) | members)})) == [
        ("unknown_column", None, "file_name")
    ]


def test_a_few_captions_are_no_labels(ingest: Any) -> None:
    entries = [{"file_name": f"{n}.png", "caption": f"the number {'one' if n % 2 else 'two'}"} for n in range(12)]
    made = ingest({"x.zip": to_zip(rows("jsonl", entries) | {f"{n}.png": picture(n) for n in range(12)})})
    assert made.profile["target"] is None
    assert made.read("caption").tolist() == [entry["caption"] for entry in entries]


def test_texts_of_metadata_are_captions(ingest: Any) -> None:
    entries = [{"file_name": f"{n}.png", "text": f"a picture that shows the number {n}"} for n in range(8)]
    made = ingest({"x.zip": to_zip(rows("jsonl", entries) | {f"{n}.png": picture(n) for n in range(8)})})
    assert made.profile["modality"] == "image"
    assert made.read("caption").tolist() == [entry["text"] for entry in entries]


@pytest.mark.parametrize(
    ("mode", "format"),
    [(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    + [(mode, "JPEG") for mode in ("L", "RGB", "CMYK")]
    + [(mode, "WEBP") for mode in ("RGB", "RGBA")]
    + [(mode, "GIF") for mode in ("L", "P", "RGB")]
    + [(mode, "BMP") for mode in ("1", "L", "P", "RGB")]
    + [(mode, "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "I;16", "CMYK")],
)
def test_every_mode_is_measured_as_it_is_decoded(ingest: Any, mode: str, format: str) -> None:
    content = picture(255, size=(5, 3), mode=mode, format=format)
    pixels = decode(content, "x")
    assert measure(content, "x") == pixels.shape
    made = ingest({"x": to_zip({"a": content, "b": content})})
    np.testing.assert_array_equal(made.read("input")[0], pixels)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_are_upright(ingest: Any, format: str) -> None:
    held, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    Pillow.new("RGB", (8, 4)).save(held, format, exif=exif)
    assert measure(held.getvalue(), "x") == (8, 4, 3)
    assert ingest({"x": to_zip({"1": held.getvalue(), "2": held.getvalue()})}).profile["input"]["shape"] == [8, 4, 3]


def test_pictures_of_many_sizes_get_one(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "THREADS", 1)
    sizes = [(4 + n, 6) for n in range(9)]
    noise = [np.random.default_rng(n).integers(0, 256, (*size, 3), np.uint8) for n, size in enumerate(sizes)]
    members = {"gray.png": picture(100)}
    for number, pixels in enumerate(noise):
        held = io.BytesIO()
        Pillow.fromarray(pixels).save(held, "PNG")
        members[f"{number}.png"] = held.getvalue()
    made = ingest({"x": to_zip(members)})
    assert made.profile["input"]["shape"] == [128, 128, 3]
    assert "9 sizes, 4 x 6 to 12 x 6, were scaled to 128 x 128" in made.profile["inferred"]["image"]
    made = ingest({"x": to_zip(members)}, image_size=8)
    assert "as image_size says" in made.profile["inferred"]["image"]
    expected = [recolour(np.full((8, 8, 1), 100, np.uint8), 3), *(resize(pixels[None], 8, 8)[0] for pixels in noise)]
    np.testing.assert_array_equal(made.read("input"), expected)


def huge(width: int, height: int) -> bytes:
    content = bytearray(picture())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_pictures_that_cannot_be_read(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(held, "JPEG")
    whole = held.getvalue()
    damaged = {"a/2.png": b"just text", "a/3.png": huge(50_000, 50_000), "a/4.png": huge(9_000, 9_000)}
    made = ingest({"x.zip": to_zip({"a/1.png": picture(), **damaged, "b/5.png": picture()})})
    assert found(made) == [
        ("no_picture", 2, "image"),
        ("picture_too_large", 3, "image"),
        ("picture_too_large", 4, "image"),
    ]
    assert made.cut_short, "pixels were not looked at"
    assert "a/2.png" in made.faults[0].message
    assert made.faults[0].message.endswith('Replace it, or ask for "on_fault": "drop" to leave such pictures out')
    made = ingest({"x.zip": to_zip({"a/1.jpg": whole, "b/2.jpg": whole[: len(whole) // 2], "a/3.jpg": whole})})
    assert found(made) == [("damaged_picture", 2, "image")]
    assert "b/2.jpg" in made.faults[0].message
    assert "truncated" in made.faults[0].message
    monkeypatch.setattr(items, "MOST_BYTES", 100)
    assert set(ingest({"x.zip": to_zip({"1.jpg": whole, "2.jpg": whole})}).codes) == {"picture_too_large"}


def test_small_files_of_many_pixels(ingest: Any) -> None:
    members = {f"{n}.png": picture(size=(1000, 1000)) for n in range(5)}
    made = ingest({"x": to_zip(members)}, limit=2**21)
    assert made.codes == ["unpacks_too_large"]
    assert "give a smaller image_size" in made.faults[0].message
    assert ingest({"x": to_zip(members)}, limit=2**21, image_size=64).profile["rows"] == 5


def test_what_systems_leave_is_passed_over_and_said(ingest: Any) -> None:
    junk = {"__MACOSX/pets/._1.png": b"x", "pets/.DS_Store": b"x", "pets/cat/Thumbs.db": b"x"}
    made = ingest({"x": to_zip(junk | CATS)})
    assert made.profile["rows"] == 20
    assert "passed over: 3 other files" in made.profile["inferred"]["image"]


@every
def test_no_pictures(ingest: Any, pack: Any) -> None:
    assert ingest({"x": pack({"metadata.csv": b"file_name\n"})}).codes == ["no_rows"]


def test_numbers_of_the_metadata_may_be_the_input(ingest: Any) -> None:
    members = {f"{n}.png": picture(n) for n in range(4)}
    entries = [{"file_name": f"{n}.png", "age": n} for n in range(4)]
    made = ingest({"x": to_zip(rows("csv", entries) | members)}, columns={"features": "age"})
    assert made.profile["input"] == {"name": "age", "modality": "vectors", "shape": [1], "names": ["age"]}
    assert made.read("input").tolist() == [[0], [1], [2], [3]]


@pytest.mark.parametrize("on_fault", ["fail", "drop"])
def test_metadata_without_rows_is_one_fault(ingest: Any, on_fault: str) -> None:
    made = ingest({"x.zip": to_zip({"metadata.csv": b"file_name,label\n"} | CATS)}, on_fault=on_fault)
    assert found(made) == [("no_rows", None, None)]
    assert made.faults[0].message == (
        "x.zip/metadata.csv is a header alone, 'file_name', 'label'; add a row for every file, or take it out"
    )


def test_tags_of_metadata(ingest: Any) -> None:
    members = {f"{n}.png": picture(n) for n in range(8)}
    entries = [{"file_name": f"{n}.png", "tags": ["wet", "cold"][: n % 3]} for n in range(8)]
    made = ingest({"x": to_zip(rows("jsonl", entries) | members)})
    assert (made.profile["target"]["modality"], made.profile["target"]["labels"]) == ("tags", ["cold", "wet"])
    assert made.profile["target"]["classes"] == {"cold": 2, "wet": 5}
