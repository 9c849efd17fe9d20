"""Boxes beside pictures: COCO, YOLO and Pascal VOC give the same rows, and whatever is wrong with one has a name."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from app.ml.pictures import decode
from tests.picture_archives import picture, to_tar, to_zip
from worker.ingest import json_lists
from worker.ingest.json_lists import elements

WIDTH, HEIGHT = 20, 10
PICTURES = {f"images/{n}.png": picture(n, size=(HEIGHT, WIDTH)) for n in range(6)}
BOXES = {0: [("cat", 2, 1, 8, 5)], 1: [("dog", 0, 0, 20, 10), ("cat", 10, 2, 12, 8)], 2: [], 3: [("owl", 5, 5, 6, 6)]}
BOXES |= {4: [("cat", 1, 1, 2, 2)], 5: [("dog", 3, 3, 9, 9)]}
NAMES = ["cat", "dog", "owl"]
EXPECTED = [[[NAMES.index(label), *box] for label, *box in BOXES[n]] for n in range(6)]


def coco(**changed: Any) -> dict[str, Any]:
    """Annotations come first, and ids do not begin with 0."""
    boxes = [(n, *box) for n in range(6) for box in BOXES[n]]
    return {
        "info": {"year": 2026},
        "annotations": [
            {
                "id": n,
                "image_id": 100 + image,
                "category_id": 7 * (1 + NAMES.index(label)),
                "bbox": [x, y, u - x, v - y],
            }
            for n, (image, label, x, y, u, v) in enumerate(boxes)
        ],
        "images": [{"id": 100 + n, "file_name": f"{n}.png", "width": WIDTH, "height": HEIGHT} for n in range(6)],
        "categories": [{"id": 7 * (1 + n), "name": name} for n, name in reversed(list(enumerate(NAMES)))],
    } | changed


def with_coco(members: Mapping[str, bytes] = PICTURES, **changed: Any) -> bytes:
    return to_zip({**members, "annotations/instances_all.json": json.dumps(coco(**changed)).encode()})


def yolo() -> dict[str, bytes]:
    found = {"data.yaml": b"path: .\nnames:\n  0: cat\n  1: dog\n  2: owl\n", "README.txt": b"hello"}
    for n in range(6):
        lines = [
            f"{NAMES.index(label)} {(x + u) / 2 / WIDTH} {(y + v) / 2 / HEIGHT} {(u - x) / WIDTH} {(v - y) / HEIGHT}\n"
            for label, x, y, u, v in BOXES[n]
        ]
        if lines:
            found[f"labels/{n}.txt"] = "".join(lines).encode()
    return found


def voc() -> dict[str, bytes]:
    found = {"ImageSets/Main/cat_train.txt": b"0 1\n1 -1\n"}
    for n in range(6):
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{u}</xmax>"
            f"<ymax>{v}</ymax></bndbox></object>"
            for label, x, y, u, v in BOXES[n]
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>1</depth></size>"
        found[f"Annotations/{n}.xml"] = f"<annotation><filename>{n}.png</filename>{size}{objects}</annotation>".encode()
    return found


def rows(made: Any) -> list[Any]:
    """Boxes of all splits, in the order of the source."""
    found = {}
    for split in made.splits.values():
        for number in range(split.batches):
            boxes = split.read("target", number)
            for place, row in enumerate(split.read("row", number).tolist()):
                found[row] = boxes.row(place).tolist()
    return [found[row] for row in sorted(found)]


def codes(made: Any) -> list[tuple[str, int | None]]:
    assert all(fault.column == "boxes" and fault.file == "x.zip" for fault in made.faults)
    return [(fault.code, fault.row) for fault in made.faults]


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("COCO", with_coco()),
        ("YOLO", to_zip({**PICTURES, **yolo()})),
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
    both = {**PICTURES, **yolo(), **voc(), "annotations/all.json": json.dumps(coco()).encode()}
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


def test_what_a_coco_file_refers_to_must_be_there(ingest: Any) -> None:
    annotation = {"image_id": 100, "category_id": 7, "bbox": [1, 1, 2, 2]}
    given = [annotation | {"category_id": 8}, annotation | {"image_id": [1]}, annotation | {"category_id": None}]
    made = ingest({"x.zip": with_coco(annotations=given)})
    assert codes(made) == [("unknown_category", 1), ("unknown_image", 2), ("unknown_category", 3)]
    assert "there is no category of the id 8; known are 21, 14, 7" in made.faults[0].message
    images = coco()["images"]
    made = ingest({"x.zip": with_coco(images=[*images, {"id": 200, "file_name": "gone.png"}])})
    assert codes(made) == [("missing_file", 7)]
    assert codes(ingest({"x.zip": with_coco(images=images[:5], annotations=[])})) == [("missing_row", 6)]
    assert codes(ingest({"x.zip": with_coco(images=[*images, images[0]])})) == [("duplicate_row", 7)]
    made = ingest({"x.zip": with_coco(images=[image | {"width": 40} for image in images])})
    assert codes(made) == [("size_differs", n) for n in range(1, 7)]
    assert "is 20 by 10 pixels, and the annotations say 40 by 10" in made.faults[0].message
    twice = {**PICTURES, "more/5.png": picture(9, size=(HEIGHT, WIDTH))}
    assert codes(ingest({"x.zip": with_coco(twice)})) == [("ambiguous_file", 6)]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"images": [1]}', b'{"a": {}}', b'{"images": [{"id": 1', b"\xff", b'{"a": ' + b"[" * 10**5],
)
def test_what_is_no_coco_is_said(ingest: Any, content: bytes) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, "a.json": content})})
    assert codes(made) == [("not_coco", None)]


@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_lists_are_walked_whatever_the_chunks(size: int) -> None:
    document = {"a": [1.5e10, {"b": ["ü]", {}]}, "x\\", [], -2], "c": {"d": [1]}, "e": [], "f": True, "g": None}
    text = json.dumps(document, indent=2, ensure_ascii=False).encode()
    chunks = (text[start : start + size] for start in range(0, len(text), size))
    walked = [("a", n, value) for n, value in enumerate(document["a"], 1)]  # type: ignore[arg-type, var-annotated]
    assert list(elements(chunks)) == [*walked, ("c", 0, {"d": [1]}), ("f", 0, True), ("g", 0, None)]


def test_a_mistake_is_found_before_the_rest_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def chunks() -> Any:
        yield b'{"a": [1, 2, {"b": nonsense}, '
        for _ in range(100):
            read.append(1)
            yield b"3, " * 1000

    with pytest.raises(ValueError, match="at character 19"):
        list(elements(chunks()))
    assert len(read) < 3
    monkeypatch.setattr(json_lists, "MOST_VALUE", 1000)
    with pytest.raises(ValueError, match="longer than 1,000"):
        list(elements(iter([b'{"a": ["', *[b"b" * 500] * 10])))


@pytest.mark.parametrize(
    ("path", "content", "code", "row"),
    [
        ("labels/0.txt", b"3 0.5 0.5 0.1 0.1\n", "unknown_category", 1),
        ("labels/0.txt", b"0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1\n", "not_a_box", 2),
        ("labels/0.txt", b"0 0.5 0.5 0.1 0.1 0.2 0.3\n", "not_a_box", 1),
        ("labels/0.txt", b"0 nan 0.5 0.1 0.1\n", "not_a_box", 1),
        ("labels/0.txt", b"-1 0.5 0.5 0.1 0.1\n", "not_a_box", 1),
        ("labels/0.txt", b"0 0.9 0.5 0.5 0.1\n", "box_outside", 1),
        ("labels/0.txt", b"0 0.5 0.5 0 0.1\n", "empty_box", 1),
        ("labels/gone.txt", b"0 0.5 0.5 0.1 0.1\n", "missing_file", None),
        ("labels/0.txt", b"\xff\xfe", "not_yolo", None),
        ("data.yaml", b"names: [a, *b]", "not_yolo", None),
        ("data.yaml", b"a: &a [x]\nnames: [*a, *a]", "not_yolo", None),
        ("data.yaml", b"names: {1: cat, 2: dog}", "not_yolo", None),
        ("data.yaml", b"!!python/object/apply:os.system ['true']", "not_yolo", None),
    ],
)
def test_wrong_yolo_files(ingest: Any, path: str, content: bytes, code: str, row: int | None) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **yolo(), path: content})})
    assert codes(made)[0] == (code, row)


def test_yolo_classes_by_a_list_or_by_number(ingest: Any) -> None:
    files = {path: held for path, held in yolo().items() if path != "data.yaml"}
    assert ingest({"x": to_zip({**PICTURES, **files})}).profile["target"]["labels"] == ["0", "1", "2"]
    named = {**PICTURES, **files, "classes.txt": b"cat\ndog\nowl\nbat\n"}
    made = ingest({"x": to_zip(named)})
    assert made.profile["target"]["classes"] == {"cat": 3, "dog": 2, "owl": 1, "bat": 0}
    assert "no picture has a box of the classes 'bat'" in made.profile["warnings"]


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


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><annotation><filename>&c;</filename></annotation>'
FETCH = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><filename>&b;</filename></annotation>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (BOMB, "not_voc"),
        (FETCH, "not_voc"),
        (b"<annotation>", "not_voc"),
        (b"<html/>", "not_voc"),
        (b"\x00\x01", "not_voc"),
        (b"<annotation><object><name>cat</name></object></annotation>", "not_a_box"),
        (b"<annotation><object><bndbox/></object></annotation>", "not_a_box"),
    ],
)
def test_wrong_voc_files(ingest: Any, content: bytes, code: str) -> None:
    made = ingest({"x.zip": to_zip({**PICTURES, **voc(), "Annotations/0.xml": content})})
    assert [fault.code for fault in made.faults] == [code]
    made = ingest({"x.zip": to_zip({**PICTURES, **voc(), "Annotations/gone.xml": b"<annotation/>"})})
    assert codes(made) == [("missing_file", None)]


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
