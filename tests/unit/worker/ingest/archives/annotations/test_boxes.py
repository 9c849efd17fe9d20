"""Boxes beside pictures: every format gives the same rows, and whatever is wrong with a box has a name."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from app.ml.image.pictures import decode
from tests.boxes import (
    EXPECTED,
    HEIGHT,
    NAMES,
    PICTURES,
    WIDTH,
    coco,
    codes,
    createml,
    rows,
    table,
    voc,
    with_coco,
    yolo,
)
from tests.picture_archives import picture, to_tar, to_zip


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("COCO", with_coco()),
        ("YOLO", to_zip({**PICTURES, **yolo()})),
        ("Create ML", to_zip({**PICTURES, **createml()})),
        ("CSV", to_zip({**PICTURES, **table()})),
        (
            "Pascal VOC",
            to_tar({**{path.replace("images", "JPEGImages"): held for path, held in PICTURES.items()}, **voc()}),
        ),
    ],
)
def test_every_format_gives_the_same_boxes(ingest: Any, format: str, content: bytes) -> None:
    made = ingest({"x.zip": content})
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED
    target = made.profile["target"]
    assert (target["modality"], target["labels"], target["picture"]) == ("boxes", NAMES, [HEIGHT, WIDTH])
    assert target["classes"] == {"cat": 3, "dog": 2, "owl": 1}
    assert target["lengths"]["max"] == 2
    assert target["sizes"]["max"] == pytest.approx(np.sqrt(200))
    assert made.profile["inferred"]["boxes"] == f"{format} files with 6 boxes of 3 classes"
    assert "1 picture of 6 without a box" in made.profile["warnings"]
    assert made.read("input").shape == (6, HEIGHT, WIDTH, 1)


@pytest.mark.parametrize(("format", "shown"), [("coco", "COCO"), ("yolo", "YOLO"), ("voc", "Pascal VOC")])
def test_the_format_of_boxes_as_asked(ingest: Any, format: str, shown: str) -> None:
    both = {**PICTURES, **yolo(), **voc(), **table(), "annotations/all.json": json.dumps(coco()).encode()}
    made = ingest({"x.zip": to_zip(both)}, format=format)
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED
    assert made.profile["inferred"]["boxes"] == f"{shown} files with 6 boxes of 3 classes"
    lone = ingest({"x.zip": to_zip(PICTURES)}, format=format)
    assert lone.codes == ["no_annotations"]
    assert ingest({"x.csv": b"a,b\n1,2\n"}, format=format).codes == ["unknown_format"]


def test_boxes_are_scaled_along(ingest: Any) -> None:
    made = ingest({"x.zip": with_coco()}, image_size=40)
    expected = [[[label, 2 * x, 4 * y, 2 * u, 4 * v] for label, x, y, u, v in row] for row in EXPECTED]
    assert rows(made) == expected
    assert made.profile["target"]["picture"] == [40, 40]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("upright", [False, True])
def test_boxes_are_turned_along(ingest: Any, turn: int, upright: bool) -> None:
    """The box holds the only bright pixels, before and after."""
    pixels = np.zeros((10, 20), np.uint8)
    pixels[2:4, 5:11] = 255
    exif, held = Pillow.Exif(), io.BytesIO()
    exif[0x0112] = turn
    Pillow.fromarray(pixels).save(held, "PNG", exif=exif)
    seen = decode(held.getvalue(), "x")[:, :, 0]
    height, width = seen.shape
    y, x = (np.flatnonzero(seen.any(axis=axis)) for axis in (1, 0))
    expected = [0, *(int(place) for place in (x[0], y[0], x[-1] + 1, y[-1] + 1))]
    if upright and height == 20:  # the annotations say the size of the upright picture: they speak of that one
        given = {"bbox": [expected[1], expected[2], expected[3] - expected[1], expected[4] - expected[2]]}
        size = {"width": width, "height": height}
    else:
        given, size = {"bbox": [5, 2, 6, 2]}, {"width": 20, "height": 10}
    document = {
        "images": [{"id": n, "file_name": f"{n}.png", **size} for n in range(2)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"image_id": 0, "category_id": 1, **given}],
    }
    members = {f"{n}.png": held.getvalue() for n in range(2)}
    made = ingest(
        {"x.zip": to_zip({**members, "coco.json": json.dumps(document).encode()})}, cleaning={"duplicates": "keep"}
    )
    assert rows(made) == [[expected], []]


BAD_BOXES = [
    ([-5, 1, 8, 4], "box_outside"),
    ([15, 1, 8, 4], "box_outside"),
    ([15, 1, 0, 4], "empty_box"),
    ([15, 1, -3, 4], "empty_box"),
    ([1, 1, 3], "not_a_box"),
    ([1, 1, 3, "4"], "not_a_box"),
    ([1, 1, 3, 1e400], "not_a_box"),
    (None, "not_a_box"),
]


@pytest.mark.parametrize(("box", "code"), BAD_BOXES)
def test_a_wrong_box_is_a_fault_with_its_row(ingest: Any, box: Any, code: str) -> None:
    annotations = [*coco()["annotations"], {"image_id": 102, "category_id": 7, "bbox": box}]
    made = ingest({"x.zip": with_coco(annotations=annotations)})
    assert codes(made) == [(code, 7)]
    assert "x.zip/annotations/instances_all.json, row 7" in made.faults[0].message
    made = ingest({"x.zip": with_coco(annotations=annotations)}, on_fault="drop")
    assert made.profile["rows"] == 5 + (code == "not_a_box")
    assert made.profile["cleaning"]["dropped"] == {code: 1}


def test_cleaning_cuts_boxes_at_the_edge_and_leaves_crowds_out(ingest: Any) -> None:
    wrong = [[-5, 1, 8, 4], [30, 1, 4, 4], [19.5, 9, 1, 1.4]]
    annotations = [{"image_id": 102, "category_id": 7, "bbox": box} for box in wrong]
    annotations.append({"image_id": 102, "category_id": 7, "bbox": [1, 1, 2, 2], "iscrowd": 1})
    content = with_coco(annotations=annotations)
    assert codes(ingest({"x.zip": content})) == [("crowd", 4), ("box_outside", 1), ("box_outside", 2)]
    made = ingest({"x.zip": content}, cleaning={"boxes": "clip", "crowds": "drop"})
    assert rows(made) == [[], [], [[0, 0, 1, 3, 5], [0, 19.5, 9, 20, 10]], [], [], []]
    assert made.profile["cleaning"]["changed"] == {"boxes_clipped": 1, "empty_boxes_left_out": 1, "crowds_left_out": 1}


def test_folders_of_coco_and_of_yolo_are_splits(ingest: Any) -> None:
    tops = ["train2017"] * 4 + ["val2017"] + ["test2017"]
    members = {f"coco/{top}/{n}.png": PICTURES[f"images/{n}.png"] for n, top in enumerate(tops)}
    made = ingest({"x": with_coco(members)})
    assert made.profile["splits"] == {"train": 4, "validation": 1, "test": 1}
    assert made.profile["target"]["splits"] == {"train": 4, "validation": 1, "test": 1}
    tops = ["train"] * 3 + ["valid"] * 3
    roboflow = {f"{top}/images/{n}.png": PICTURES[f"images/{n}.png"] for n, top in enumerate(tops)}
    roboflow |= {f"{tops[n]}/labels/{n}.txt": yolo().get(f"labels/{n}.txt", b"") for n in range(6)}
    made = ingest({"x": to_zip({**roboflow, "data.yaml": b"names: [cat, dog, owl]\nnc: 3\n"})})
    assert made.profile["splits"] == {"train": 3, "validation": 3, "test": 0}
    assert [np.round(row, 4).tolist() for row in rows(made)] == EXPECTED


def test_lists_of_pictures_are_splits(ingest: Any) -> None:
    lists = {
        "ImageSets/Main/train.txt": b"0\n1\n2\n\n",
        "ImageSets/Main/val.txt": b"3\n",
        "ImageSets/Main/test.txt": b"4\n5",
    }
    other = {"ImageSets/Layout/train.txt": b"0\n1\n2\n3\n4\n5\n"}
    made = ingest({"x.zip": to_zip({**PICTURES, **voc(), **lists, **other})})
    assert made.profile["splits"] == {"train": 3, "validation": 1, "test": 2}
    assert made.profile["inferred"]["split"] == "the lists of pictures beside the annotations"
    lines = {
        "train.txt": b"./images/0.png\n./images/1.png\n",
        "val.txt": b"data/images/2.png\nimages/3.png\nimages/4.png",
    }
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), **lines})})
    assert [(fault.code, fault.row) for fault in made.faults] == [("no_split", 6)]
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), **lines})}, on_fault="drop")
    assert made.profile["splits"] == {"train": 2, "validation": 3, "test": 0}
    wrong = {"train.txt": b"images/0.png\nimages/9.png\n", "val.txt": b"images/0.png"}
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), **wrong})})
    assert [(fault.code, fault.row) for fault in made.faults] == [("missing_file", 2), ("two_splits", 1)]


def test_several_archives_need_the_same_classes(ingest: Any) -> None:
    first = {f"{n}.png": picture(n, size=(HEIGHT, WIDTH)) for n in range(6)}
    second = {f"{n}.png": picture(50 + n, size=(HEIGHT, WIDTH)) for n in range(6)}
    made = ingest({"1": with_coco(first), "2": with_coco(second)})
    assert rows(made) == EXPECTED * 2
    assert made.profile["target"]["classes"] == {"cat": 6, "dog": 4, "owl": 2}
    other = with_coco(second, categories=[{"id": 7 * (1 + n), "name": f"{name}s"} for n, name in enumerate(NAMES)])
    made = ingest({"1": with_coco(first), "2": other})
    assert made.codes == ["categories_differ"]
    assert "2 has boxes of the classes 'cats', 'dogs', 'owls'" in made.faults[0].message


def test_labels_of_metadata_may_be_asked_for_instead(ingest: Any) -> None:
    metadata = "file_name,label\n" + "".join(f"{n}.png,{'ab'[n % 2]}\n" for n in range(6))
    content = with_coco({**PICTURES, "images/metadata.csv": metadata.encode()})
    assert ingest({"x": content}).profile["target"]["modality"] == "boxes"
    made = ingest({"x": content}, columns={"label": "label"})
    assert made.profile["target"]["classes"] == {"a": 3, "b": 3}
    assert "boxes" in made.profile["inferred"]["ignored"]


def test_boxes_of_a_test_split_may_be_secret(ingest: Any) -> None:
    test = to_zip({f"{n}.png": picture(100 + n, size=(HEIGHT, WIDTH)) for n in range(3)})
    made = ingest({"1": with_coco(), "2": test}, split={"files": {"train": ["1"], "test": ["2"]}})
    assert rows(made) == [*EXPECTED, [], [], []]
    assert made.profile["target"]["missing"] == 3
    assert made.profile["target"]["splits"]["test"] == 0
    assert made.splits["test"].present("target").tolist() == [False] * 3
    assert made.splits["train"].present("target").all()
    assert "1 picture of 6 without a box" in made.profile["warnings"]


def test_paths_of_another_machine_are_found_by_their_last_part(ingest: Any) -> None:
    images = coco()["images"]
    for before in ("../../label-studio/data/upload/1/", "/home/ann/", "C:\\pictures\\", "s3://bucket/"):
        moved = [{**image, "file_name": before + image["file_name"]} for image in images]
        assert [np.round(row, 4).tolist() for row in rows(ingest({"x.zip": with_coco(images=moved)}))] == EXPECTED
    moved = [{**image, "file_name": "val/" + image["file_name"]} for image in images]
    assert ingest({"x.zip": with_coco(images=moved)}).codes[0] == "missing_file"


def test_notes_of_tools_and_a_list_of_classes_are_no_boxes(ingest: Any) -> None:
    notes = {"README.dataset.txt": b"x", "README.roboflow.txt": b"y", "LICENSE.md": b"z"}
    assert [np.round(row, 4).tolist() for row in rows(ingest({"x.zip": with_coco({**PICTURES, **notes})}))] == EXPECTED
    folders = {f"{'ab'[n % 2]}/{n}.png": picture(n) for n in range(10)}
    made = ingest({"x.zip": to_zip({**folders, "README.md": b"x"})})
    assert made.profile["target"]["modality"] == "classes"


def changed_coco(change: Callable[[list[float]], list[float]]) -> bytes:
    given = coco()["annotations"]
    return with_coco(annotations=[each | {"bbox": change(each["bbox"])} for each in given])


def test_shares_are_no_pixels_whatever_is_to_be_repaired(ingest: Any) -> None:
    shares = changed_coco(lambda box: [box[0] / WIDTH, box[1] / HEIGHT, box[2] / WIDTH, box[3] / HEIGHT])
    for cleaning in ({}, {"boxes": "clip"}):
        made = ingest({"x.zip": shares}, cleaning=cleaning)
        assert codes(made) == [("boxes_are_shares", None)]
    assert "looks like shares of the picture's size; COCO gives pixels" in made.faults[0].message
    assert not ingest({"x.zip": changed_coco(lambda box: [0, 0, *box[2:]])}).faults


def test_corners_in_place_of_width_and_height_are_said(ingest: Any) -> None:
    made = ingest({"x.zip": changed_coco(lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]])})
    assert set(codes(made)) == {("box_outside", 3), ("box_outside", 6)}
    assert "; COCO's bbox is [x, y, width, height], and these look like [x0, y0, x1, y1]" in made.faults[0].message
    made = ingest({"x.zip": changed_coco(lambda box: [box[0], box[1], box[2] + 9, box[3]])})
    assert 'ask for cleaning {"boxes": "clip"}' in made.faults[0].message


def test_corners_in_place_of_width_and_height_are_not_cut(ingest: Any) -> None:
    clip = {"boxes": "clip"}
    made = ingest({"x.zip": changed_coco(lambda box: [box[0], box[1], 10 + box[0], 5 + box[1]])}, cleaning=clip)
    assert codes(made) == [("boxes_look_otherwise", None)]
    assert "these look like [x0, y0, x1, y1]" in made.faults[0].message
    whole = ingest({"x.zip": changed_coco(lambda box: [3, 2, WIDTH - 1, HEIGHT - 1])}, cleaning=clip)
    assert whole.profile["cleaning"]["changed"]["boxes_clipped"] == 6, "either way it is the whole picture"
    few = ingest({"x.zip": changed_coco(lambda box: [box[0], box[1], box[2] + 9, box[3]])}, cleaning=clip)
    assert not few.faults, "some of them would be no corners"


def test_pixels_in_place_of_shares_are_said(ingest: Any) -> None:
    made = ingest(
        {"x.zip": to_zip({**PICTURES, **yolo(), "labels/0.txt": b"0 5 3 6 4\n", "labels/1.txt": b"0 9 4 3 3"})}
    )
    assert codes(made)[0] == ("box_outside", 1)
    assert 'cleaning {"boxes": "clip"}' in made.faults[0].message  # most of the others are shares
    pixels = {f"labels/{n}.txt": b"0 5 3 6 4\n" for n in range(6)}
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), **pixels})})
    assert "YOLO's x, y, width and height are shares of the picture's size" in made.faults[0].message
