"""Texts kept as files: folders and tables say class and split; what lies above them, and every text that is none."""

import gzip
import io
import tarfile
import zipfile
from typing import Any

import pytest

from tests.picture_archives import to_tar, to_zip

FLAT = {f"{'pos' if n % 2 else 'neg'}/{n}.txt": f"A film of {n} words,\nand a line more.".encode() for n in range(40)}


def in_splits(top: str, splits: tuple[str, ...], classes: tuple[str, ...], ending: str) -> dict[str, bytes]:
    places = [(split, name) for split in splits for name in classes]
    return {
        f"{top.format(split)}/{name}/{n}{ending}": f"Text {n} of {name} for {split} and no other".encode()
        for split, name in places
        for n in range(20)
    }


REVIEWS = in_splits("aclImdb/{}", ("train", "test"), ("pos", "neg"), "_7.txt")
BESIDE = {
    "imdb.vocab": b"the\na\n",
    "imdbEr.txt": b"0.1\n",
    "train/urls_pos.txt": b"http://a",
    "train/a.feat": b"9 0:9",
}
STRAY = {f"aclImdb/{path}": content for path, content in BESIDE.items()} | {"aclImdb/README": b"A set of reviews"}
UNKNOWN = {f"aclImdb/train/unsup/{n}_0.txt": f"Nobody knows what {n} is worth".encode() for n in range(20)}


@pytest.mark.parametrize("pack", [to_zip, lambda members: gzip.compress(to_tar(members))])
def test_folders_are_classes_and_splits(ingest: Any, pack: Any) -> None:
    made = ingest({"x": pack(REVIEWS | STRAY | UNKNOWN)})
    assert made.profile["modality"] == "text", made.faults
    assert made.profile["splits"]["test"] == 40
    assert made.profile["rows"] == 100
    assert made.profile["target"]["classes"] == {"neg": 40, "pos": 40}
    assert made.read("input").tolist()[0] == "Text 0 of pos for train and no other"
    assert made.read("target").tolist()[-20:] == [None] * 20
    inferred = made.profile["inferred"]
    assert inferred["label"] == "the folder in which the text lies"
    assert inferred["text"].startswith("every file of x is a row")
    assert "4 files passed over, 'aclImdb/imdb.vocab'" in inferred["files"]


@pytest.mark.parametrize(
    "members",
    [
        FLAT,
        {f"set/{path}": content for path, content in FLAT.items()}
        | {"__MACOSX/set/._1.txt": b"\0", "set/README.md": b"x"},
        {path.removesuffix(".txt"): content for path, content in FLAT.items()},
        {path.replace(".txt", ".md"): content for path, content in FLAT.items()},
        {path: content.decode().encode("utf-16") for path, content in FLAT.items()},
    ],
)
def test_every_file_is_a_row(ingest: Any, members: dict[str, bytes]) -> None:
    made = ingest({"x.zip": to_zip(members)}, format="zip")
    assert made.read("input").tolist() == [text.decode() for text in FLAT.values()], made.faults
    assert made.read("target").tolist() == ["neg", "pos"] * 20


def test_top_folders_may_be_called_after_a_split(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip(in_splits("news-{}", ("train", "test"), ("a.b", "c"), ""))})
    assert made.profile["splits"]["test"] == 40
    assert made.profile["inferred"]["split"] == "the top folders news-test, news-train"
    assert made.profile["target"]["classes"] == {"a.b": 40, "c": 40}


def test_texts_without_folders_have_no_labels(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip({path.partition("/")[2]: content for path, content in FLAT.items()})})
    assert (made.profile["rows"], made.profile["target"]) == (40, None)


def test_tables_beside_them_say_more(ingest: Any) -> None:
    texts = {f"texts/{path.partition('/')[2]}": content for path, content in FLAT.items()}
    rows = "".join(f"{n},{'ab'[n % 2]},{n / 8}\n" for n in range(40))
    named = ingest({"x.zip": to_zip(texts | {"labels.csv": f"id,label,size\n{rows}".encode()})})
    assert named.read("target").tolist() == ["a", "b"] * 20, named.faults
    assert "labels.csv, by 'id', says more of them" in named.profile["inferred"]["text"]
    listed = "file_name,stars\n" + "".join(f"{path},{n / 8}\n" for n, path in enumerate(texts))
    valued = ingest({"x.zip": to_zip(texts | {"metadata.csv": listed.encode()})}, columns={"value": "stars"})
    assert valued.read("target")[:3].tolist() == [0, 0.125, 0.25]
    aside = ingest(
        {"x.zip": to_zip(FLAT | {"vocab.csv": b"word,count\na,1\nb,2\n", "train.txt": b"a", "val.txt": b"b"})}
    )
    assert aside.profile["target"]["classes"] == {"neg": 20, "pos": 20}
    assert "3 files passed over, 'vocab.csv', 'train.txt', 'val.txt'" in aside.profile["inferred"]["files"]
    table = "text,label\n" + "".join(f"row {n} of a table,{n % 2}\n" for n in range(40))
    alone = ingest({"x.zip": to_zip(texts | {"rows.csv": table.encode()})})
    assert alone.read("input").tolist()[1] == "row 1 of a table"


def test_texts_called_like_splits_have_rows_of_their_own(ingest: Any) -> None:
    lines = {split: "".join(f"{split} feels {n};{'joy' if n % 2 else 'fear'}\n" for n in range(30)) for split in "abc"}
    held = {f"{split}.txt": lines[key].encode() for split, key in zip(("train", "val", "test"), "abc", strict=True)}
    made = ingest({"x.zip": to_zip(held)})
    assert made.profile["splits"] == {"train": 30, "validation": 30, "test": 30}
    assert made.profile["target"]["classes"] == {"fear": 45, "joy": 45}


def test_texts_that_cannot_be_read_are_named(ingest: Any) -> None:
    bad = {"pos/1.txt": "très café".encode("latin-1"), "pos/3.txt": b"%PDF-1.4 \0", "pos/5.txt": b"a\0b"}
    made = ingest({"x.zip": to_zip(FLAT | bad)})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_utf8", 2), ("no_text", 4), ("no_text", 6)]
    said = [fault.message for fault in made.faults]
    assert said[0].startswith("x.zip, pos/1.txt, is not UTF-8: byte 2 is 0xe8; in Latin-1 it would read 'très café'")
    assert said[1].startswith("x.zip, pos/3.txt, is a PDF; send its text")
    assert said[2].startswith("x.zip, pos/5.txt, is no text: it holds zeros")
    dropped = ingest({"x.zip": to_zip(FLAT | bad)}, on_fault="drop")
    assert dropped.profile["rows"] == 37
    latin = ingest({"x.zip": to_zip(FLAT | {"pos/1.txt": bad["pos/1.txt"]})}, encoding="latin-1")
    assert latin.read("input")[1] == "très café"
    wrong = ingest({"x.zip": to_zip(FLAT | {"pos/1.txt": b"\xff\xff\xff"})}, encoding="shift_jis")
    assert wrong.codes == ["wrong_encoding"]
    assert wrong.faults[0].message.startswith("x.zip, pos/1.txt, is not SHIFT_JIS: byte 0 is 0xff")


def test_empty_texts_are_left_out_or_named(ingest: Any) -> None:
    content = to_zip(FLAT | {"neg/2.txt": b"", "neg/4.txt": b" \n"})
    assert ingest({"x.zip": content}).profile["rows"] == 38
    made = ingest({"x.zip": content}, cleaning={"empty": "fault"})
    assert made.codes == ["empty_text"] * 2
    assert made.faults[0].message.startswith("x.zip, row 3, neg/2.txt, column 'text': the text is empty")


def test_what_unpacks_too_large_is_one_fault(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip(FLAT)}, limit=800)
    assert made.codes == ["unpacks_too_large"]


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        ("pdf", b"%PDF-1.4", "'a/0.pdf' is a PDF; send its text"),
        ("txt", b"%PDF-1.4", "'a/0.txt' is a PDF; send its text"),
        ("docx", to_zip({"word/document.xml": b"<w/>"}), "'a/0.docx' is a Word document; send its text"),
    ],
)
def test_documents_that_are_no_texts(ingest: Any, ending: str, content: bytes, said: str) -> None:
    made = ingest({"x.zip": to_zip({f"{'ab'[n % 2]}/{n}.{ending}": content for n in range(20)})})
    assert made.codes == ["no_items"]
    assert said in made.faults[0].message


def test_letters_of_names(ingest: Any) -> None:
    """UTF-8 without its flag in a ZIP, Latin-1 in a TAR."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for path, content in FLAT.items():
            archive.writestr(path.replace("pos", "schXXn"), content)
    unmarked = held.getvalue().replace(b"schXXn", "schön".encode())
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as packed:
        for path, content in FLAT.items():
            info = tarfile.TarInfo(path.replace("pos", "schön"))
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    for made in (ingest({"x.zip": unmarked}), ingest({"x.tar": held.getvalue()})):
        assert made.profile["target"]["classes"] == {"neg": 20, "schön": 20}
