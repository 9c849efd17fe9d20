"""Pictures as cells of tables: bytes, Hugging Face's struct, base64 and data: URIs, by the same steps as archives."""

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image as Pillow

from app.ml.image.pictures import decode, resize
from tests.picture_archives import picture, to_zip

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
FILES = [picture(20 * n, size=(8, 8), format=FORMATS[n % 6]) for n in range(10)]
LABELS = ["cat", "dog"] * 5


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def plain(content: bytes) -> str:
    return base64.b64encode(content).decode()


def parquet(table: pa.Table) -> bytes:
    held = io.BytesIO()
    pa.parquet.write_table(table, held, row_group_size=4)
    return held.getvalue()


def arrow(table: pa.Table) -> bytes:
    held = io.BytesIO()
    with pa.ipc.new_file(held, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return held.getvalue()


def csv(table: pa.Table) -> bytes:
    held = io.BytesIO()
    pa.csv.write_csv(table, held)
    return held.getvalue()


def lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def table(cells: list[Any], **columns: Any) -> pa.Table:
    return pa.table({"id": list(range(len(cells))), "image": cells, "label": LABELS[: len(cells)], **columns})


STRUCT = [{"bytes": content, "path": None} for content in FILES]


@pytest.mark.parametrize(
    ("pack", "cells"),
    [
        (parquet, FILES),
        (parquet, STRUCT),
        (arrow, STRUCT),
        (arrow, pa.array(FILES, pa.large_binary())),
        (parquet, [uri(content) for content in FILES]),
        (lines, [uri(content) for content in FILES]),
        (lines, [plain(content) for content in FILES]),
        (csv, [uri(content) for content in FILES]),
    ],
)
def test_cells_become_pictures(ingest: Any, pack: Callable[[pa.Table], bytes], cells: Any) -> None:
    made = ingest({"x": pack(table(cells))})
    assert made.faults == []
    facts = made.profile["input"]
    assert (facts["modality"], facts["name"], facts["shape"], facts["scaled"]) == ("image", "image", [8, 8, 3], False)
    pixels = [np.broadcast_to(decode(content, "x"), (8, 8, 3)) for content in FILES]
    np.testing.assert_array_equal(made.read("input"), pixels)
    assert made.read("target").tolist() == LABELS
    assert made.profile["inferred"]["image"] == "all pictures are 8 x 8 with 3 channels"
    assert made.profile["inferred"]["ignored"] == ["id"]


def test_what_is_wrong_with_a_cell_has_its_row(ingest: Any) -> None:
    held = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)).save(held, "JPEG")
    whole = held.getvalue()[:-30]
    cells = [*FILES[:3], None, b"just text", whole, b"", *FILES[:3]]
    made = ingest({"x.parquet": parquet(table(cells))})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [
        ("no_picture", row, "image") for row in (4, 5, 7)
    ]
    dropped = ingest({"x.parquet": parquet(table(cells))}, on_fault="drop", cleaning={"duplicates": "keep"})
    assert dropped.profile["rows"] == 6
    assert dropped.profile["cleaning"]["dropped"] == {"no_picture": 3, "damaged_picture": 1}
    made = ingest({"x": lines(table([uri(FILES[0]), "data:image/png;base64,%%%", *map(uri, FILES[:8])]))})
    assert [(fault.code, fault.row) for fault in made.faults] == [("damaged", 2)]


def test_columns_choose_among_pictures_and_captions(ingest: Any) -> None:
    others = [picture(7 * n, size=(4, 4)) for n in range(10)]
    captions = [f"a picture that shows number {n}" for n in range(10)]
    content = parquet(table(FILES, other=others, caption=captions))
    made = ingest({"x": content}, columns={"image": "other", "caption": "caption"})
    assert made.profile["input"]["shape"] == [4, 4, 1]
    assert made.read("caption").tolist() == captions
    made = ingest({"x": content}, columns={"left": "other", "right": "caption"})
    assert [made.profile[role]["modality"] for role in ("left", "right")] == ["image", "text"]
    assert ingest({"x": content}, columns={"features": ["id"]}).profile["modality"] == "vectors"
    assert ingest({"x": content}, columns={"text": "caption"}).profile["modality"] == "text"


def test_pictures_of_several_files_get_one_size(ingest: Any) -> None:
    """Shards of which each alone has one size, and one is gray."""
    small = [picture(n, size=(6, 4), mode="RGB") for n in range(5)]
    large = [picture(100 + n, size=(8, 8)) for n in range(5)]
    shards = {"1.parquet": parquet(table(small)), "2.parquet": parquet(table(large))}
    made = ingest(shards)
    assert made.profile["input"]["shape"] == [128, 128, 3]
    assert made.profile["input"]["scaled"]
    assert "2 sizes, 6 x 4 to 8 x 8" in made.profile["inferred"]["image"]
    made = ingest(shards, split={"files": {"train": ["1.parquet"], "test": ["2.parquet"]}}, image_size=6)
    last = resize(decode(large[4], "x")[None], 6, 6)[0]
    np.testing.assert_array_equal(made.splits["test"].read("input", 0)[4], np.broadcast_to(last, (6, 6, 3)))
    archives = {
        f"{n}.zip": to_zip({f"a/{m}.png": held for m, held in enumerate(each)}) for n, each in enumerate((small, large))
    }
    assert ingest(archives).profile["input"]["shape"] == [128, 128, 3]


def test_bytes_that_are_no_pictures_are_no_input(ingest: Any) -> None:
    made = ingest({"x": parquet(table([b"abc"] * 10))})
    assert made.profile["modality"] == "vectors"
    assert "image" in made.profile["inferred"]["ignored"]


def test_sixteen_bits_palette_and_orientation_are_as_in_archives(ingest: Any) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    files = []
    for mode, options in (("I;16", {}), ("P", {}), ("RGBA", {}), ("RGB", {"exif": exif})):
        held = io.BytesIO()
        Pillow.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).convert(mode).save(held, "PNG", **options)
        files.append(held.getvalue())
    read = [
        ingest({"x": content}).read("input")
        for content in (parquet(table(files)), to_zip({f"{n}.png": held for n, held in enumerate(files)}))
    ]
    np.testing.assert_array_equal(*read)


@pytest.mark.parametrize("pack", [parquet, arrow, lines])
def test_lists_of_labels_are_tags(ingest: Any, pack: Callable[[pa.Table], bytes]) -> None:
    labels = [["wet", "cold|dark"], [], ["wet"], ["wet", "wet", ""]] * 5
    rows = pa.table({"a": list(range(20)), "tags": pa.array(labels, pa.list_(pa.string()))})
    made = ingest({"x": pack(rows)})
    target = made.profile["target"]
    assert (target["modality"], target["labels"]) == ("tags", ["cold|dark", "wet"])
    assert target["classes"] == {"cold|dark": 5, "wet": 15}
    assert made.profile["inferred"]["tags"] == "'tags', lists of labels"
    other = ingest({"x": pack(rows.rename_columns(["a", "colours"]))}, columns={"tags": "colours"})
    assert other.profile["target"]["classes"] == target["classes"]


def test_a_list_that_holds_something_else(ingest: Any) -> None:
    rows = [{"a": n, "tags": ["x"] if n != 3 else ["x", 1]} for n in range(6)]
    made = ingest({"x.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("unsupported_type", 4, "tags")]
