"""Archives as people have them: a table or texts beside pictures and recordings, under any name."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.picture_archives import picture, to_zip
from tests.sounds import sound, tone

PICTURES = {f"train/{n:04x}.png": picture(n) for n in range(20)}
BREEDS = [("pug", "collie")[n % 2] for n in range(20)]
CLIPS = {f"clips/common_voice_de_{n}.wav": sound(tone(200 + 40 * n, 0.05)) for n in range(10)}


def table(header: str, *rows: tuple[object, ...], between: str = ",") -> bytes:
    return "\n".join([header.replace(",", between), *(between.join(map(str, row)) for row in rows)]).encode()


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize("name", ["labels.csv", "train.csv", "data/annotations.csv"])
def test_a_table_names_pictures_by_their_ids(ingest: Any, name: str, ending: str) -> None:
    rows = [(f"{n:04x}{ending}", breed) for n, breed in enumerate(BREEDS)]
    made = ingest({"dogs.zip": to_zip({**PICTURES, name: table("id,breed", *rows)})})
    assert made.read("target").tolist() == BREEDS
    assert made.read("input")[:, 0, 0, 0].tolist() == list(range(20))


def test_pictures_that_no_row_names_have_no_label(ingest: Any) -> None:
    secret = {f"test/{n}.png": picture(100 + n) for n in range(5)}
    rows = [(f"{n:04x}", breed) for n, breed in enumerate(BREEDS)]
    members = {
        **PICTURES,
        **secret,
        "train.csv": table("id,breed", *rows),
        "sample_submission.csv": table("id,breed", *((n, "pug") for n in range(5))),
    }
    made = ingest({"dogs.zip": to_zip(members)})
    assert made.profile["target"]["classes"] == {"collie": 10, "pug": 10}
    assert "; train.csv, by 'id', says more of them; passed over: 1 other file" in made.profile["inferred"]["image"]
    assert made.profile["target"]["splits"]["test"] == {"collie": 0, "pug": 0}
    assert made.profile["splits"]["test"] == 5


def test_numbers_beside_pictures_are_values(ingest: Any) -> None:
    rows = [(f"{n:04x}.png", n + 0.5) for n in range(20)]
    made = ingest({"x.zip": to_zip({**PICTURES, "prices.csv": table("picture,price", *rows)})})
    assert made.read("target").tolist() == [n + 0.5 for n in range(20)]


def test_tables_for_splits_are_read_together(ingest: Any) -> None:
    parts = {"train": range(14), "val": range(14, 17), "test": range(17, 20)}
    members = {f"images/{n}.png": picture(n) for n in range(20)}
    for name, part in parts.items():
        members[f"{name}.csv"] = table("image,label", *((f"images/{n}.png", BREEDS[n]) for n in part))
    made = ingest({"x.zip": to_zip(members)})
    assert made.profile["splits"] == {"train": 14, "validation": 3, "test": 3}
    assert made.read("target").tolist() == BREEDS


def test_common_voice(ingest: Any) -> None:
    header = "client_id,path,sentence,up_votes,age"
    rows = [
        (f"speaker{n // 2}", f"common_voice_de_{n}.wav", f'"Er sagte {n} und ging, ohne Ende.', 2, "") for n in range(8)
    ]
    members = {
        **CLIPS,
        "validated.tsv": table(header, *rows, between="\t"),
        "train.tsv": table(header, *rows[:3], between="\t"),
        "other.tsv": table(header, *rows[6:], between="\t"),
    }
    made = ingest({"cv.zip": to_zip({f"cv-corpus/de/{name}": content for name, content in members.items()})})
    assert made.profile["modality"] == "audio"
    assert made.profile["inferred"]["caption"] == "'sentence', by its name"
    assert made.profile["target"] is None
    assert made.read("caption").tolist() == [*(row[2] for row in rows), "", ""]
    assert "2 other files" in made.profile["inferred"]["audio"]
    grouped = ingest({"cv.zip": to_zip(members)}, columns={"group": "client_id", "caption": "sentence"})
    assert grouped.profile["modality"] == "audio"


def librispeech(*subsets: str) -> dict[str, bytes]:
    """Two speakers with two chapters of three recordings each in every subset."""
    members = {"LibriSpeech/SPEAKERS.TXT": b"; who reads\n", "LibriSpeech/README.TXT": b"about"}
    for place, subset in enumerate(subsets):
        for chapter in (f"{84 + place}-7", f"{84 + place}-9", f"{1272 + place}-8", f"{1272 + place}-6"):
            folder = f"LibriSpeech/{subset}/{chapter.replace('-', '/')}"
            for n in range(3):
                hertz = 200.0 + 9 * len(members)
                members[f"{folder}/{chapter}-{n:04d}.flac"] = sound(tone(hertz, 0.05), format="FLAC")
            lines = "".join(f"{chapter}-{n:04d} HE SAID {n} TIMES {chapter}\n" for n in range(3))
            members[f"{folder}/{chapter}.trans.txt"] = lines.encode()
    return members


def test_librispeech(ingest: Any) -> None:
    made = ingest({"dev-clean.tar": to_zip(librispeech("dev-clean"))})
    assert (made.profile["rows"], made.profile["modality"], made.profile["target"]) == (12, "audio", None)
    assert made.profile["inferred"]["caption"] == "'transcript', by its name"
    assert made.read("caption").tolist()[1] == "HE SAID 1 TIMES 84-7"
    assert "split" not in made.profile["inferred"], "one folder around everything says nothing"
    assert any("of 'speaker' on both sides" in warning for warning in made.profile["warnings"])
    grouped = ingest({"dev-clean.tar": to_zip(librispeech("dev-clean"))}, columns={"group": "speaker"})
    assert grouped.profile["rows"] == 12
    assert not any("both sides" in warning for warning in grouped.profile["warnings"])


def test_the_subsets_of_librispeech_are_splits(ingest: Any) -> None:
    made = ingest({"all.zip": to_zip(librispeech("train-clean-100", "dev-other", "test-clean"))})
    assert made.profile["splits"] == {"train": 12, "validation": 12, "test": 12}


def test_a_line_of_librispeech_without_its_recording_is_a_fault(ingest: Any) -> None:
    members = librispeech("dev-clean")
    del members["LibriSpeech/dev-clean/84/7/84-7-0001.flac"]
    (fault,) = ingest({"a.zip": to_zip(members)}).faults
    assert (fault.code, fault.row) == ("missing_file", 2)
    assert "84-7-0001" in fault.message


def test_a_row_without_its_file_is_a_fault(ingest: Any) -> None:
    rows = [*((f"{n:04x}", breed) for n, breed in enumerate(BREEDS)), ("gone", "pug")]
    made = ingest({"dogs.zip": to_zip({**PICTURES, "labels.csv": table("id,breed", *rows)})})
    assert [(fault.code, fault.row) for fault in made.faults] == [("missing_file", 21)]
    assert "labels.csv, row 21: 'gone' is not in the archive" in made.faults[0].message


@pytest.mark.parametrize("ending", ["wav", "png"])
def test_texts_beside_items_say_what_is_in_them(ingest: Any, ending: str) -> None:
    items = list(CLIPS.values()) if ending == "wav" else list(PICTURES.values())[:10]
    members = {f"a/{n}.{ending}": content for n, content in enumerate(items)}
    members |= {f"a/{n}.txt": f'they say\n number {n}, "so"\n'.encode() for n in range(10)}
    made = ingest({"x.zip": to_zip(members)})
    assert made.read("caption").tolist() == [f'they say number {n}, "so"' for n in range(10)]


def test_a_list_of_classes_beside_class_folders_is_passed_over(ingest: Any) -> None:
    members = {f"{breed}/{n}.png": picture(n) for n, breed in enumerate(BREEDS)}
    made = ingest({"x.zip": to_zip({**members, "classes.txt": b"collie\npug\n"})})
    assert made.read("target").tolist() == BREEDS


def test_what_names_no_item_is_a_fault(ingest: Any) -> None:
    members = {f"{breed}/{n}.png": picture(n) for n, breed in enumerate(BREEDS)}
    made = ingest({"x.zip": to_zip({**members, "other.csv": b"a,b\n1,x\n3,y\n99,z\n", "said.txt": b"what?"})})
    assert made.codes == ["no_picture", "no_picture"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("labels.csv", b"id,breed\n", "is a table without rows: a header alone, 'id,breed'; fill it, or take it out"),
        ("labels.jsonl", b"\n", "is a table without rows: it is empty; fill it"),
        (
            "labels.csv",
            b"id,breed\nx,pug\nz,pug\n",
            "says nothing of the pictures: it begins with 'id,breed', and no column",
        ),
        ("labels.tsv", b"\xff\xfe\0", "says nothing of the pictures: it is no text in UTF-8"),
        ("labels.xlsx", b"PK\3\4", "is a table that is not read beside pictures; save it as CSV, TSV or JSON lines"),
    ],
)
def test_a_table_that_says_nothing_is_told_as_such(ingest: Any, name: str, content: bytes, said: str) -> None:
    (fault,) = ingest({"x.zip": to_zip({**PICTURES, name: content})}).faults
    assert fault.code == "no_picture"
    assert fault.message.startswith(f"x.zip, {name}: {said}")


def test_boxes_are_no_captions(ingest: Any) -> None:
    members = {f"{n}.png": picture(n) for n in range(10)} | {f"{n}.txt": b"0 0.5 0.5 0.1 0.1\n" for n in range(10)}
    assert set(ingest({"x.zip": to_zip({**members, "notes.txt": b"?"})}).codes) == {"no_picture"}


def lines(*rows: Mapping[str, object]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("captions.jsonl", "image_path"),
        ("train/data.jsonl", "file"),
        ("metadata.jsonl", "image"),
        ("captions.json", "image"),
        ("metadata.json", "file_name"),
        ("train/list.json", "image"),
        ("metadata.csv", "id"),
    ],
)
def test_a_manifest_may_have_any_name_and_any_key(ingest: Any, name: str, key: str) -> None:
    rows = [(f"train/{n:04x}.png" if "/" not in name else f"{n:04x}.png", f"a dog, number {n}") for n in range(20)]
    said = lines(*({key: path, "caption": text} for path, text in rows))
    if name == "train/list.json":
        said = b"[" + said.replace(b"\n", b",\n").rstrip(b",\n") + b"]"
    if name.endswith(".csv"):
        said = table(f"{key},caption", *((path, text.replace(",", "")) for path, text in rows))
    made = ingest({"x.zip": to_zip({**PICTURES, name: said})})
    assert made.profile["inferred"]["caption"] == "'caption', by its name"
    assert made.read("input")[:, 0, 0, 0].tolist() == list(range(20))
    assert "ignored" not in made.profile["inferred"]


def test_manifests_of_splits_are_read_together(ingest: Any) -> None:
    members = {f"images/{n}.png": picture(n) for n in range(20)}
    for name, part in {"train": range(14), "val": range(14, 17), "test": range(17, 20)}.items():
        members[f"{name}.jsonl"] = lines(*({"image": f"images/{n}.png", "label": BREEDS[n]} for n in part))
    made = ingest({"x.zip": to_zip(members)})
    assert made.profile["splits"] == {"train": 14, "validation": 3, "test": 3}
    assert made.read("target").tolist() == BREEDS


def test_what_is_no_object_in_a_manifest_is_a_fault(ingest: Any) -> None:
    said = lines(*({"image": path} for path in PICTURES))
    made = ingest({"x.zip": to_zip({**PICTURES, "a.jsonl": said + b"\n[1]\n"})})
    assert made.codes == ["not_json"]


def test_few_captions_are_no_labels(ingest: Any) -> None:
    texts = {f"train/{n:04x}.txt": f"a photo of a {BREEDS[n]}".encode() for n in range(20)}
    beside = to_zip({**PICTURES, **texts})
    named = lines(*({"file_name": path, "text": f"a photo of a {BREEDS[n]}"} for n, path in enumerate(PICTURES)))
    for content in (beside, to_zip({**PICTURES, "metadata.jsonl": named})):
        made = ingest({"x.zip": content})
        assert made.profile["target"] is None
        assert "caption" in made.profile["inferred"]
    made = ingest({"x.zip": beside}, columns={"left": "image", "right": "caption"})
    assert not made.faults


def test_what_is_of_no_use_beside_pictures_is_said(ingest: Any) -> None:
    rows = [{"file_name": path, "objects": {"bbox": [[0, 0, 2, 2]]}, "bbox": [0, 0, 2, 2]} for path in PICTURES]
    members = to_zip({**PICTURES, "metadata.jsonl": lines(*rows)})
    inferred = ingest({"x.zip": members}).profile["inferred"]
    assert inferred["ignored"] == ["objects", "bbox"]
    assert inferred["boxes"].startswith("none, although there is 'objects': boxes are read from files of COCO")
    made = ingest({"x.zip": members}, columns={"boxes": "objects"})
    assert made.codes == ["unsupported_type"]
    assert "'objects' is no column of boxes: boxes are read from" in made.faults[0].message


def test_a_list_that_breaks_off(ingest: Any) -> None:
    rows = b",\n".join(b'{"image": "train/%04x.png", "caption": "a dog"}' % n for n in range(20))
    made = ingest({"x.zip": to_zip({**PICTURES, "captions.json": b"[" + rows + b", {"})})
    assert made.codes == ["damaged"]
    assert "captions.json" in made.faults[0].message


def test_a_list_with_boxes_within_is_no_list_of_captions(ingest: Any) -> None:
    row = b'[{"image": "train/0000.png", "annotations": [{"label": "dog", "box": [1, 1, 2, 2]}]}]'
    assert ingest({"x.zip": to_zip({**PICTURES, "boxes.json": row})}).codes == ["not_coco"]


@pytest.mark.parametrize("name", ["labels.json", "train/list.json", "metadata.json"])
def test_an_object_may_name_the_pictures(ingest: Any, name: str) -> None:
    own = "train/" if name == "train/list.json" else ""
    for held in (BREEDS, [{"label": breed, "age": n} for n, breed in enumerate(BREEDS)]):
        given = dict(zip((path.removeprefix(own) for path in PICTURES), held, strict=True))
        made = ingest({"x.zip": to_zip({**PICTURES, name: json.dumps(given, indent=2).encode()})})
        assert made.codes == [], made.faults
        assert made.read("target").tolist() == BREEDS
    said = {path: f"a photo of number {n}" for n, path in enumerate(PICTURES)}
    made = ingest({"x.zip": to_zip({**PICTURES, "said.json": json.dumps(said).encode()})})
    assert made.profile["inferred"]["caption"] == "'text', by its name"


def test_lines_called_json_as_manifests_of_recordings_are(ingest: Any) -> None:
    said = lines(*({"audio_filepath": path, "duration": 0.05, "text": f"word {n}"} for n, path in enumerate(CLIPS)))
    made = ingest({"x.zip": to_zip({**CLIPS, "manifest.json": said})}, modality="audio")
    assert made.profile["inferred"]["caption"] == "'text', by its name"
    assert sum(split.rows for split in made.splits.values()) == len(CLIPS)


LAID = {f"images/{n:04x}.png": picture(n) for n in range(20)}
CAPTIONS = [
    (f"{n:04x}.png", turn, f"the {('first', 'other')[turn]} word, of number {n}") for n in range(20) for turn in (0, 1)
]
COCO = {
    "images": [{"id": n, "file_name": f"{n:04x}.png"} for n in range(20)],
    "annotations": [{"image_id": int(name[:4], 16), "id": turn, "caption": text} for name, turn, text in CAPTIONS],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.txt", table("image,caption", *((name, f'"{text}"') for name, _, text in CAPTIONS))),
        ("token.txt", "".join(f"{name}#{turn}\t{text}\n" for name, turn, text in CAPTIONS).encode()),
        (
            "results.csv",
            table("image_name| comment_number| comment", *((f"{a}| {b}| {c}",) for a, b, c in CAPTIONS), between="|"),
        ),
        ("metadata.csv", table("file_name,text", *((f"images/{a}", f'"{text}"') for a, _, text in CAPTIONS))),
        ("annotations/captions_train2017.json", json.dumps(COCO).encode()),
        ("annotations/later.json", json.dumps(dict(reversed(COCO.items()))).encode()),
    ],
)
def test_a_picture_is_there_with_each_of_its_captions(ingest: Any, name: str, content: bytes) -> None:
    made = ingest({"x.zip": to_zip({**LAID, name: content})})
    assert made.profile["target"] is None
    assert made.read("caption").tolist() == [text for _, _, text in CAPTIONS]
    assert made.read("input")[:, 0, 0, 0].tolist() == [n for n in range(20) for _ in (0, 1)]
    assert made.profile["splits"] == {"train": 32, "validation": 4, "test": 4}
    seen = [set(split.read("input", 0)[:, 0, 0, 0].tolist()) for split in made.splits.values()]
    assert sum(map(len, seen)) == 20


def test_captions_of_splits_are_read_together(ingest: Any) -> None:
    members: dict[str, bytes] = {f"{('train', 'val')[n > 13]}2017/{n:04x}.png": picture(n) for n in range(20)}
    for split, numbers in (("train", range(14)), ("val", range(14, 20))):
        part = {
            key: [each for each in rows if each.get("image_id", each["id"]) in numbers] for key, rows in COCO.items()
        }
        members[f"annotations/captions_{split}2017.json"] = json.dumps(part).encode()
    made = ingest({"x.zip": to_zip(members)})
    assert made.profile["splits"] == {"train": 28, "validation": 12, "test": 0}
    assert made.read("caption").tolist() == [text for _, _, text in CAPTIONS]


def test_a_caption_of_no_picture_is_a_fault(ingest: Any) -> None:
    lacking = {**COCO, "images": COCO["images"][:19]}
    made = ingest({"x.zip": to_zip({**LAID, "captions.json": json.dumps(lacking).encode()})})
    assert made.codes == ["missing_file", "missing_file"]
    assert "'19' is not in the archive" in made.faults[0].message


def test_a_damaged_picture_is_left_out_with_all_of_its_captions(ingest: Any) -> None:
    members = {
        **LAID,
        "images/0003.png": picture(3)[:40],
        "token.txt": b"\n".join(f"{name}\t{text}".encode() for name, _, text in CAPTIONS),
    }
    made = ingest({"x.zip": to_zip(members)}, on_fault="drop")
    assert made.read("caption").tolist() == [text for name, _, text in CAPTIONS if name != "0003.png"]


def test_lists_of_names_are_splits(ingest: Any) -> None:
    members = {
        **LAID,
        **{
            f"{split}.txt": "\n".join(f"{n:04x}.png" for n in numbers).encode()
            for split, numbers in (("train", range(12)), ("val", range(12, 16)), ("test", range(16, 20)))
        },
    }
    made = ingest({"x.zip": to_zip(members)})
    assert made.profile["splits"] == {"train": 12, "validation": 4, "test": 4}


@pytest.mark.parametrize(("start", "ending"), [("", ""), ("images/", ".png"), ("", ".png")])
def test_lists_of_names_beside_class_folders_are_splits(ingest: Any, start: str, ending: str) -> None:
    parts = {"train": range(12), "val": range(12, 16), "test": range(16, 20)}
    names = [f"{'ab'[n % 2]}/{n // 2:04x}" for n in range(20)]
    members = {f"images/{name}.png": picture(n) for n, name in enumerate(names)}
    for split, numbers in parts.items():
        members[f"meta/{split}.txt"] = "\n".join(f"{start}{names[n]}{ending}" for n in numbers).encode()
    made = ingest({"x.zip": to_zip(members)})
    assert made.profile["splits"] == {"train": 12, "validation": 4, "test": 4}
    assert made.read("target").tolist() == ["ab"[n % 2] for n in range(20)]


KARPATHY: dict[str, Any] = {
    "images": [
        {
            "filename": f"{n:04x}.png",
            "imgid": n,
            "sentids": [2 * n, 2 * n + 1],
            "split": ("train", "restval", "val", "test")[n // 5],
            "sentences": [
                {"tokens": text.split(), "raw": text, "imgid": n, "sentid": 2 * n + turn}
                for turn, (_, _, text) in enumerate(CAPTIONS[2 * n : 2 * n + 2])
            ],
        }
        for n in range(20)
    ],
    "dataset": "flickr8k",
}
TOKENS = "".join(f"{name}#{turn}\t{text}\n" for name, turn, text in CAPTIONS).encode()


def in_split(split: Any) -> set[int]:
    return set(split.read("input", 0)[:, 0, 0, 0].tolist())


def test_karpathys_captions_come_with_their_splits(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip({**LAID, "dataset_flickr8k.json": json.dumps(KARPATHY).encode()})})
    assert made.read("caption").tolist() == [text for _, _, text in CAPTIONS]
    assert made.profile["splits"] == {"train": 20, "validation": 10, "test": 10}
    assert in_split(made.splits["validation"]) == {10, 11, 12, 13, 14}
    coco = [{**each, "filepath": "val2014"} for each in KARPATHY["images"]]
    text = json.dumps({"dataset": "coco", "images": coco}).encode()
    beside = {f"val2014/{n:04x}.png": picture(n) for n in range(20)}
    made = ingest({"x.zip": to_zip({**beside, "captions.txt": TOKENS, "dataset_coco.json": text})})
    assert made.profile["splits"] == {"train": 20, "validation": 10, "test": 10}


def flickr(**lists: range) -> dict[str, bytes]:
    """Flickr8k's texts, as they lie beside its pictures."""
    scores = "".join(f"{n:04x}.png {(n + 1) % 20:04x}.png#0 1 1 2\n" for n in range(20)).replace(" ", "\t")
    return {
        **LAID,
        "ExpertAnnotations.txt": scores.encode(),
        "Flickr8k.lemma.token.txt": TOKENS.replace(b"word", b"wrd"),
        "Flickr8k.token.txt": TOKENS,
        **{
            f"Flickr_8k.{split}Images.txt": "".join(f"{n:04x}.png\n" for n in numbers).encode()
            for split, numbers in lists.items()
        },
    }


def test_lists_of_names_beside_captions_are_splits(ingest: Any) -> None:
    archive = to_zip(flickr(train=range(10), dev=range(10, 14), test=range(14, 18)))
    made = ingest({"x.zip": archive})
    assert made.profile["splits"] == {"train": 20, "validation": 8, "test": 8}
    assert in_split(made.splits["validation"]) == {10, 11, 12, 13}
    assert made.read("caption").tolist() == [text for _, _, text in CAPTIONS[:36]]
    assert made.profile["cleaning"]["dropped"] == {"unlisted": 4}
    assert "Flickr_8k.trainImages.txt" in made.profile["inferred"]["split"]
    assert ingest({"x.zip": archive}, split={"train": 0.5, "validation": 0.25, "test": 0.25}).profile["rows"] == 40


def test_a_picture_in_two_lists_is_a_fault(ingest: Any) -> None:
    members = flickr(train=range(4), dev=range(3, 6), test=range(6, 20))
    members["Flickr_8k.testImages.txt"] += b"gone.png\n"
    made = ingest({"x.zip": to_zip(members)})
    assert made.codes[:2] == ["two_splits", "missing_file"]
    assert "Flickr_8k.devImages.txt, row 1: '0003.png' is in train, too" in made.faults[0].message


def test_a_name_in_another_folder_is_another(ingest: Any) -> None:
    members = {f"images/{n:04x}.png": picture(n) for n in range(20)}
    rows = [(f"{'images' if n else 'others'}/{n:04x}.png", "ab"[n % 2]) for n in range(20)]
    made = ingest({"x.zip": to_zip({**members, "labels.csv": table("image,label", *rows)})})
    assert made.codes == ["missing_file"]
    assert "'others/0000.png' is not in the archive" in made.faults[0].message


def test_blanks_between_names_and_labels(ingest: Any) -> None:
    rows = "\n".join(f"{name} {n % 3}" for n, name in enumerate(LAID))
    made = ingest({"x.zip": to_zip({**LAID, "labels.txt": rows.encode()})})
    assert made.read("target").tolist() == [str(n % 3) for n in range(20)]


def test_lists_under_names_of_pictures_are_tags(ingest: Any) -> None:
    tags: dict[str, Any] = {f"{n:04x}.png": [["sea", "sky"], ["sky"], []][n % 3] for n in range(20)}
    tags |= {"0000.png": [], "0001.png": "sky"}
    made = ingest({"x.zip": to_zip({**PICTURES, "labels.json": json.dumps(tags).encode()})})
    assert made.profile["inferred"]["tags"] == "'tags', lists of labels"
    assert made.profile["target"]["classes"] == {"sea": 6, "sky": 13}


def test_lists_of_texts_under_names_of_pictures_are_captions(ingest: Any) -> None:
    texts = {f"{n:04x}.png": [f"a dog runs on grass {n}", f"an animal that is brown {n}"] for n in range(20)}
    made = ingest({"x.zip": to_zip({**PICTURES, "captions.json": json.dumps(texts).encode()})})
    assert made.profile["rows"] == 40, made.faults
    assert made.read("input")[:, 0, 0, 0].tolist() == [n // 2 for n in range(40)]
