"""Texts in other letters and with other line ends, and rows that do not end: read, or refused by name."""

import json
import time
from typing import Any

import numpy as np
import pytest

from worker.ingest.readers import decoding, tables

ROWS = [{"x": n, "y": 2 * n, "label": "café" if n % 2 else "thé"} for n in range(40)]
TABLE = "x,y,label\n" + "".join(f"{row['x']},{row['y']},{row['label']}\n" for row in ROWS)
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
PROSE = "".join(f"der Mond ist zum {n}. Mal aufgegangen\n" for n in range(40))
LABELS = [row["label"] for row in ROWS]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_certain_encodings_are_read(ingest: Any, monkeypatch: pytest.MonkeyPatch, codec: str) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 61)  # ends within letters
    for name, text in (("a.csv", TABLE), ("a.jsonl", LINES)):
        made = ingest({name: text.encode(codec)})
        assert made.faults == []
        assert made.read("target").tolist() == LABELS
        assert made.read("input").tolist() == [[row["x"], row["y"]] for row in ROWS]
        assert made.profile["inferred"]["encoding"] == f"{name} is {codec.upper()[:6]}"
    assert ingest({"a.txt": PROSE.encode(codec)}).read("input").tolist() == PROSE.splitlines()


@pytest.mark.parametrize("text", [TABLE, LINES])
def test_a_byte_order_mark_is_no_letter(ingest: Any, text: str) -> None:
    made = ingest({"a": text.encode("utf-8-sig")}, encoding="latin-1")
    assert made.read("target").tolist() == LABELS
    assert [column["name"] for column in made.profile["columns"]] == ["x", "y", "label"]
    assert "encoding" not in made.profile["inferred"]


@pytest.mark.parametrize("codec", ["latin-1", "cp1252"])
def test_latin1_is_refused_and_read_as_asked(ingest: Any, codec: str) -> None:
    content = {"a.csv": TABLE.encode(codec)}
    refused = ingest(content)
    assert refused.codes == ["not_utf8"]
    assert "or give encoding latin-1" in refused.faults[0].message
    assert ingest(content, encoding=codec).read("target").tolist() == LABELS


@pytest.mark.parametrize(
    ("codec", "word"),
    [
        ("cp1250", "łąka"),
        ("cp1251", "слово и дело"),
        ("koi8-r", "слово и дело"),
        ("cp1254", "şehir"),
        ("cp1256", "كلمة"),
        ("shift_jis", "春の海ソ"),
        ("gb18030", "春眠不觉晓"),
        ("euc-kr", "말과 글"),
    ],
)
def test_texts_of_all_scripts_are_read_as_asked(
    ingest: Any, monkeypatch: pytest.MonkeyPatch, codec: str, word: str
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 61)
    texts = [f"{word} {n}" for n in range(40)]
    content = {"a.csv": ("text\n" + "\n".join(texts) + "\n").encode(codec)}
    assert ingest(content, encoding=codec, modality="text").read("input").tolist() == texts
    assert ingest(content).codes[0] == "not_utf8"


def test_what_another_script_would_read_in_several_encodings(ingest: Any) -> None:
    said = ingest({"a.txt": ("Слово не воробей\n" * 40).encode("koi8-r")}).faults[0].message
    assert "in koi8-r it would read 'Слово не воробей" in said
    assert "or give encoding cp1251 or koi8-r or shift_jis or gb18030, or another where these read wrong" in said


def test_utf16_as_asked_needs_neither_mark_nor_latin_letters(ingest: Any) -> None:
    text = "".join(f"月は東に日は西に{n}\n" for n in range(40))
    assert ingest({"a.txt": text.encode("utf-16-le")}, encoding="utf-16").read("input").tolist() == text.splitlines()


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (TABLE.encode("latin-1") + b"1,2,\x81\n", {"encoding": "cp1252"}, "line 42, is not CP1252: byte 419 is 0x81"),
        ("a,b\n1,2\n3,".encode("utf-16") + b"\x00\xd8\x0a\x00", {}, "line 3, is not UTF-16: byte 22 is 0x00"),
        (TABLE.encode("utf-16-le")[:-1], {}, "truncated data"),
    ],
)
def test_what_cannot_be_decoded_is_named(
    ingest: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, options: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 61)
    made = ingest({"a.csv": content}, **options)
    assert made.codes == ["wrong_encoding"]
    assert said in made.faults[0].message


@pytest.mark.parametrize(("name", "text"), [("a.csv", TABLE), ("a.jsonl", LINES), ("a.txt", PROSE)])
def test_lines_that_end_in_cr(ingest: Any, name: str, text: str) -> None:
    made, wanted = ingest({name: text.replace("\n", "\r").encode()}), ingest({name: text.encode()})
    assert made.read("input").tolist() == wanted.read("input").tolist()
    assert made.profile["rows"] == 40
    assert made.profile["inferred"]["encoding"] == f"{name} has lines that end in CR"


def test_a_few_cr_among_line_feeds(ingest: Any) -> None:
    assert ingest({"a.csv": b"x,z\n1,2\r3,4\n5,6\n"}).read("input").tolist() == [[1, 2], [3, 4], [5, 6]]


def test_decoding_stays_within_the_limit(ingest: Any) -> None:
    assert ingest({"a.txt": PROSE.encode("utf-16")}, limit=1000).codes == ["unpacks_too_large"]


@pytest.mark.parametrize("on_fault", ["fail", "drop"])
@pytest.mark.parametrize("line", ['7,"8,tea', '7,8,"tea'])
@pytest.mark.parametrize("rows", [0, 40])
def test_a_quote_that_never_closes(ingest: Any, line: str, rows: int, on_fault: str) -> None:
    body = TABLE.splitlines()
    made = ingest({"a.csv": "\n".join([*body[: rows + 1], line, *body[1:], ""]).encode()}, on_fault=on_fault)
    assert [(fault.code, fault.row) for fault in made.faults] == [("open_quote", rows + 1)]


@pytest.mark.parametrize("header", ['x,"y,label', 'x,y,"label', '"x\n",y,label'])
def test_a_quote_that_never_closes_in_the_header(ingest: Any, header: str) -> None:
    made = ingest({"a.csv": TABLE.replace("x,y,label", header).encode()}, on_fault="drop")
    assert made.codes == ["open_quote"]
    assert len(made.faults[0].message) < 300


def test_quotes_that_close_over_several_lines(ingest: Any) -> None:
    made = ingest({"a.csv": b'x,label\n1,"a\n""b"""\n2,"a\n""b"""\n3,c\n4,"a\n""b"""\n'})
    assert made.read("target").tolist() == ['a\n"b"', 'a\n"b"', "c", 'a\n"b"']
    made = ingest({"a.csv": b'x,label\n1,c\n2,"a\nb"\n3,c,d\n'}, on_fault="drop")
    assert made.read("target").tolist() == ["c", "a\nb"]


@pytest.mark.parametrize(
    "start", [b"7", b"x,y\n7", b"x,y\n1,2\n7", b'x,y\n1,"2\n7', b"x,y\n" + b"1,2\n" * 2000 + b"\0"]
)
def test_a_row_without_end(ingest: Any, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(tables, "SAMPLE_BYTES", 1 << 10)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1 << 12)
    made = ingest({"a.csv": start + start[-1:] * (1 << 15) + b",2\n1,2\n"})
    assert made.codes == ["line_too_long"]
    assert len(made.faults[0].message) < 300


def test_names_are_taken_without_the_spaces_around_them(ingest: Any) -> None:
    made = ingest({"a.csv": b" x ,label \n" + b"1,a\n2,b\n" * 10}, columns={"features": ["x"], "label": "label"})
    assert made.profile["target"]["classes"] == {"a": 10, "b": 10}
    assert ingest({"a.csv": b"x,x \n1,2\n3,4\n"}).codes == ["duplicate_column"]


def test_columns_without_number_take_no_more_time_each(ingest: Any) -> None:
    width = 20_000
    values = np.arange(3 * width).reshape(3, width) % 97
    text = "\n".join([",".join(f"c{n}" for n in range(width)), *(",".join(map(str, row)) for row in values.tolist())])
    began = time.process_time()
    np.testing.assert_array_equal(ingest({"a.csv": text.encode()}, profile="basic").read("input"), values)
    assert time.process_time() - began < 10  # a second; every column compared with every other took eighteen


def test_labels_that_differ_between_splits(ingest: Any) -> None:
    rows = "".join(f"{n},{'train' if n < 30 else 'test'},{'ab'[n % 2] if n < 30 else 'bc'[n % 2]}\n" for n in range(40))
    made = ingest({"a.csv": b"x,split,label\n" + rows.encode()})
    assert any("'c'" in warning and "train" in warning for warning in made.profile["warnings"])
