"""Boxes in tables: columns by many names, pixels and shares, splits; what is wrong with a row has a name."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from tests.boxes import BOXES, EXPECTED, HEIGHT, PICTURES, WIDTH, codes, rows, table
from tests.picture_archives import to_zip

HEADER = b"filename,class,xmin,ymin,xmax,ymax\n"
FIRST = b"0.png,cat,2,1,8,5\n1.png,dog,0,0,20,10\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"2.png,cat,2,1,8", "not_a_box"),
        (b"2.png,cat,2,1,8,many", "not_a_box"),
        (b"2.png,cat,2,1,8,inf", "not_a_box"),
        (b"2.png,,2,1,8,5", "not_a_box"),
        (b"2.png,cat,,,,", "not_a_box"),
        (b'2.png,"' + b"x" * 200_000, "not_a_box"),
        (b"2.png,cat,8,1,2,5", "empty_box"),
        (b"2.png,cat,2,1,28,5", "box_outside"),
    ],
)
def test_wrong_rows(ingest: Any, line: bytes, code: str) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, "boxes.csv": HEADER + FIRST + line + b"\n"})})
    assert codes(made) == [(code, 3)]


def test_a_picture_that_is_not_there(ingest: Any) -> None:
    lines = b"".join(b"%d.png,cat,2,1,8,5\n" % (n % 6) for n in range(20))
    made = ingest({"x.zip": to_zip({**PICTURES, "boxes.csv": HEADER + lines + b"gone.png,cat,2,1,8,5\n"})})
    assert codes(made) == [("missing_file", 21)]


@pytest.mark.parametrize(
    "header",
    [
        "image,Image Width,Image Height,label,x1,y1,x2,y2",
        "file,width,height,category_name,X_Min,Y_Min,X_Max,Y_Max",
        "path,width,height,name,bbox_x0,bbox_y0,bbox_x1,bbox_y1",
        "id,w,h,class_id,left,top,right,bottom",
    ],
)
def test_columns_have_many_names(ingest: Any, header: str) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **table(header)})})
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED


def test_shares_and_names_without_ending_and_a_picture_that_shows_nothing(ingest: Any) -> None:
    """As Open Images has them."""
    lines = [
        f"{n},x,{label},1,{x / WIDTH},{u / WIDTH},{y / HEIGHT},{v / HEIGHT}"
        for n in range(6)
        for label, x, y, u, v in BOXES[n]
    ]
    lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax", *lines, "2,x,,,,,,"]
    made = ingest({"x.zip": to_zip({**PICTURES, "train-annotations-bbox.csv": "\n".join(lines).encode()})})
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED


def test_without_classes_all_are_objects(ingest: Any) -> None:
    made = ingest(
        {"x.zip": to_zip({**PICTURES, "a.tsv": b"image\tx1\ty1\tx2\ty2\n0.png\t2\t1\t8\t5\n1.png\t0\t0\t9\t9\n"})}
    )
    assert made.profile["target"]["classes"] == {"object": 2}


@pytest.mark.parametrize("rest", [b"", b"\n\n"])
def test_a_header_alone_is_no_dataset(ingest: Any, rest: bytes) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, "boxes.csv": HEADER.strip() + rest})})
    assert made.codes == ["no_rows"]
    assert "boxes.csv has nothing below its header; give a row for every box" in made.faults[0].message


def test_a_split_without_boxes_has_a_header_alone(ingest: Any) -> None:
    lines = HEADER + b"".join(b"%d.png,cat,2,1,8,5\n" % n for n in range(6))
    made = ingest({"x.zip": to_zip({**PICTURES, "train.csv": lines, "test.csv": HEADER})})
    assert made.profile["splits"]["test"] == 0
    assert made.profile["target"]["classes"] == {"cat": 6}


def test_tables_called_like_splits_are_splits(ingest: Any) -> None:
    tables = {
        "train.csv": HEADER + b"".join(b"%d.png,cat,2,1,8,5\n" % n for n in range(4)),
        "val.csv": HEADER + b"4.png,cat,2,1,8,5\n",
        "test.csv": HEADER + b"5.png,,,,,\n",
    }
    made = ingest({"x.zip": to_zip({**PICTURES, **tables})})
    assert {name: split.rows for name, split in made.splits.items()} == {"train": 4, "validation": 1, "test": 1}
    twice = {**tables, "val.csv": tables["val.csv"] + b"0.png,cat,2,1,8,5\n"}
    assert codes(ingest({"x.zip": to_zip({**PICTURES, **twice})})) == [("two_splits", 2)]
    part = {**tables, "test.csv": HEADER + b"4.png,,,,,\n", "val.csv": HEADER + b"5.png,cat,2,1,8,5\n"}
    del part["val.csv"]
    assert codes(ingest({"x.zip": to_zip({**PICTURES, **part})})) == [("no_split", 6)]


def test_other_tables_among_them(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **table(), "names.csv": b"code,name\n1,cat\n2,dog\n"})})
    assert codes(made) == [("not_boxes", None)]
    assert "x.zip/names.csv is no table of boxes" in made.faults[0].message


def test_a_damaged_table(ingest: Any) -> None:
    lines = HEADER + b"".join(b"%d.png,cat,2,1,8,5\n" % (n % 6) for n in range(100_000)) + b"5.png,last,1,1,2,2\n"
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
        for path, content in {**PICTURES, "boxes.csv": lines}.items():
            archive.writestr(path, content)
    damaged = held.getvalue().replace(b"last", b"lost")
    assert codes(ingest({"x.zip": damaged})) == [("damaged", None)]


def test_a_table_in_every_folder_of_a_split(ingest: Any) -> None:
    """As Roboflow writes them; pictures of two folders may have one name."""
    places = {"train": [0, 1, 2, 3], "valid": [4], "test": [5]}
    files: dict[str, bytes] = {"README.roboflow.txt": b"hello"}
    for folder, numbers in places.items():
        files |= {f"{folder}/{place}.png": PICTURES[f"images/{n}.png"] for place, n in enumerate(numbers)}
        boxes = [(place, *box) for place, n in enumerate(numbers) for box in BOXES[n]]
        lines = [f"{place}.png,{label},{x},{y},{u},{v}" for place, label, x, y, u, v in boxes]
        files[f"{folder}/_annotations.csv"] = HEADER + "\n".join(lines).encode()
    made = ingest({"x.zip": to_zip(files)})
    assert {name: split.rows for name, split in made.splits.items()} == {"train": 4, "validation": 1, "test": 1}
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED
