"""Files that people send and nobody here reads: each is named, with what to send instead."""

import bz2
import io
import lzma
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch

from tests.picture_archives import picture, to_zip

TABLE = b"a,b,label\n" + b"".join(b"%d.5,%d,%s\n" % (n, n * n % 7, b"xy"[n % 2 : n % 2 + 1]) for n in range(20))


def office(*names: str) -> bytes:
    return to_zip({"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<r/>", **dict.fromkeys(names, b"<x/>")})


def weights() -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.xlsx", office("xl/workbook.xml", "xl/media/image1.png"), "is an Excel workbook; save the table as CSV"),
        ("t.csv", office("xl/workbook.xml"), "is an Excel workbook"),
        ("t.docx", office("word/document.xml"), "is a Word document"),
        ("t.ods", to_zip({"mimetype": b"x", "META-INF/manifest.xml": b"<m/>"}), "is an OpenDocument file"),
        ("m.pt", weights(), "holds pickled weights of PyTorch"),
        ("t.pkl", pickle.dumps({"a": [1, 2]}), "is a pickle"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "is a document of Microsoft Office"),
        ("t.csv", b"<!DOCTYPE html>\n<html><body>404, not found</body></html>\n", "is a page of HTML, as servers send"),
        ("t.pdf", b"%PDF-1.7\n1 0 obj\n", "is a PDF"),
        ("t.h5", b"\x89HDF\r\n\x1a\n" + bytes(500), "is an HDF5 file"),
        ("t.db", b"SQLite format 3\0" + bytes(500), "is an SQLite database"),
        ("t.mat", b"MATLAB 5.0 MAT-file".ljust(128) + bytes(100), "is a MATLAB file"),
        ("t.csv.bz2", bz2.compress(TABLE), "is packed with bzip2"),
        ("t.csv.xz", lzma.compress(TABLE), "is packed with xz"),
        ("t.m4a", b"\0\0\0\x20ftypM4A " + bytes(100), "is MP4, MOV or M4A"),
        ("t.png", picture(), "is a single picture; put pictures into a ZIP or TAR"),
    ],
)
def test_what_is_not_read_is_named(ingest: Any, name: str, content: bytes, said: str) -> None:
    made = ingest({name: content})
    assert made.codes == ["unknown_format"]
    assert made.faults[0].message.startswith(f"{name} {said}")


@pytest.mark.parametrize("first", ["ORC and elf", "BM 25 ranks", "BZh is a beginning", "MATLAB 5.0 came out in 1996"])
def test_texts_that_begin_alike_stay_texts(ingest: Any, first: str) -> None:
    made = ingest(
        {"x.txt": "\n".join([f"{first}, said page one", *(f"and line {n} went on" for n in range(9))]).encode()}
    )
    assert made.profile["modality"] == "text"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_table_in_a_zip_is_a_packed_table(ingest: Any, method: int) -> None:
    plain, buffer = ingest({"x.csv": TABLE}), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("__MACOSX/._x.csv", b"junk")
        archive.writestr("folder/x.csv", TABLE)
    made = ingest({"x.zip": buffer.getvalue()})
    assert made.profile["target"] == plain.profile["target"]
    np.testing.assert_array_equal(made.read("input"), plain.read("input"))


def test_a_fault_in_a_packed_table_names_both_files(ingest: Any) -> None:
    made = ingest({"x.zip": to_zip({"x.csv": TABLE + b"1,2\n"})})
    assert made.codes == ["ragged_row"]
    assert made.faults[0].message.startswith("x.zip/x.csv, row 21 has 2 cells")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"pos.txt": b"a good film", "neg.txt": b"a bad film"}, "'pos.txt' is none, and no table"),
        ({"train.csv": TABLE, "test.csv": to_zip({"x.csv": TABLE})}, "'test.csv' is an archive itself"),
        ({"inner.zip": to_zip({"x.png": picture()})}, "'inner.zip' is an archive itself"),
    ],
)
def test_other_archives_hold_no_items(ingest: Any, held: dict[str, bytes], said: str) -> None:
    made = ingest({"x.zip": to_zip(held)})
    assert made.codes == ["no_items"]
    assert said in made.faults[0].message


def test_a_damaged_table_in_a_zip(ingest: Any) -> None:
    content = bytearray(to_zip({"x.csv": TABLE}))
    content[40] ^= 0xFF
    assert ingest({"x.zip": bytes(content)}).codes == ["damaged"]
