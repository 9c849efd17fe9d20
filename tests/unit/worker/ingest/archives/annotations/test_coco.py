"""Boxes in COCO files: what is wrong with one has a name."""

import json
from typing import Any

import pytest

from tests.boxes import HEIGHT, PICTURES, WIDTH, coco, codes, with_coco
from tests.picture_archives import picture, to_zip
from worker.ingest.readers import json_lists
from worker.ingest.readers.json_lists import elements


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


def test_of_pictures_with_boxes_the_first_caption_counts(ingest: Any) -> None:
    images = coco()["images"]
    said = [{"image_id": image["id"], "caption": f"the {turn} caption of it"} for image in images for turn in (1, 2)]
    captions = json.dumps({"images": images, "annotations": said}).encode()
    members = {**PICTURES, "instances.json": json.dumps(coco()).encode(), "captions.json": captions}
    made, alone = ingest({"x.zip": to_zip(members)}), ingest({"x.zip": with_coco()})
    assert made.read("caption").tolist() == ["the 1 caption of it"] * len(images)
    assert made.profile["target"] == alone.profile["target"]
