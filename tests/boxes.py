"""The same boxes beside the same pictures, as COCO, YOLO, Pascal VOC and tables have them."""

import json
from collections.abc import Mapping
from typing import Any

from tests.picture_archives import picture, to_zip

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


def table(header: str = "filename,width,height,class,xmin,ymin,xmax,ymax") -> dict[str, bytes]:
    """A row for every box; a picture without boxes has none."""
    lines = [f"{n}.png,{WIDTH},{HEIGHT},{label},{x},{y},{u},{v}" for n in range(6) for label, x, y, u, v in BOXES[n]]
    return {"_annotations.csv": "\n".join([header, *lines, ""]).encode()}


def createml(*more: dict[str, Any]) -> dict[str, bytes]:
    found: list[dict[str, Any]] = []
    for n in range(6):
        things = [
            {"label": label, "coordinates": {"x": (x + u) / 2, "y": (y + v) / 2, "width": u - x, "height": v - y}}
            for label, x, y, u, v in BOXES[n]
        ]
        found.append({"image": f"{n}.png", "annotations": things})
    return {"images/_annotations.createml.json": json.dumps([*found, *more]).encode()}


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
