"""Plain texts: lines, paragraphs, files side by side; what is no text says so with its row."""

from typing import Any

import pytest

from worker.ingest import groups
from worker.ingest.readers import lines

VERSE = ["Der Mond ist aufgegangen heute", "die goldnen Sternlein prangen, hell", "am Himmel hell und klar"] * 4
UNIQUE = [f"{line} {number}" for number, line in enumerate(VERSE)]


def joined(rows: list[str], end: str = "\n") -> bytes:
    return end.join(rows).encode() + end.encode()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_line_is_a_row(ingest: Any, end: str) -> None:
    made = ingest({"verse": joined(UNIQUE, end)})
    assert made.profile["input"]["name"] == "text"
    assert made.profile["modality"] == "text"
    assert made.read("input").tolist() == UNIQUE
    assert made.profile["input"]["characters"]["min"] == min(map(len, UNIQUE))
    assert made.profile["target"] is None


@pytest.mark.parametrize("block", [7, 64, 4096])
def test_blocks_end_anywhere(ingest: Any, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    assert ingest({"a.txt": joined(UNIQUE)[:-1]}).read("input").tolist() == UNIQUE
    prose = "\n\n\n".join(f"{a}\n{b}" for a, b in zip(UNIQUE[::2], UNIQUE[1::2], strict=True))
    made = ingest({"a.txt": prose.encode()}, text_unit="paragraph")
    assert made.read("input").tolist() == [f"{a}\n{b}" for a, b in zip(UNIQUE[::2], UNIQUE[1::2], strict=True)]


@pytest.mark.parametrize("unit", ["line", "paragraph"])
def test_what_one_block_is_free_of_others_are_cleaned_of(
    ingest: Any, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 64)
    between = {"line": "\n", "paragraph": "\n\n"}[unit]
    rows = [f"{line}\tof\nverses" if unit == "paragraph" else line for line in UNIQUE]
    written = [*rows[:5], f"\x07{rows[5]}", *rows[6:8], rows[8].replace("m", "m\x7f"), *rows[9:]]
    made = ingest({"a.txt": between.join(written).encode()}, text_unit=unit)
    assert made.read("input").tolist() == rows
    assert made.profile["cleaning"]["changed"] == {"control": 2}


def test_blocks_are_filled_from_several_files(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "RAGGED_BYTES", 100)
    files = {f"{place}.txt": joined(UNIQUE[place : place + 4]) for place in range(0, 12, 4)}
    assert ingest(files).read("input").tolist() == UNIQUE


def test_empty_lines_are_no_rows_and_rows_keep_their_numbers(ingest: Any) -> None:
    spaced = "".join(f"{line}\n   \n\n" for line in UNIQUE)
    assert ingest({"a.txt": spaced.encode()}).read("input").tolist() == UNIQUE
    made = ingest({"a.txt": spaced.encode() + b"much too short\n"}, cleaning={"min_characters": 20, "empty": "fault"})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [("empty_text", 37, "text")]


def test_files_side_by_side_stay_level(ingest: Any) -> None:
    german = [*UNIQUE[:5], "", *UNIQUE[6:]]
    english = [f"the moon has risen over number {number}" for number in range(len(UNIQUE))]
    made = ingest(
        {"corpus.de": joined(german), "corpus.en": joined(english)},
        columns={"source": "corpus.de", "target": "corpus.en"},
    )
    assert made.profile["rows"] == 11
    assert made.read("source").tolist() == UNIQUE[:5] + UNIQUE[6:]
    assert made.read("target").tolist() == english[:5] + english[6:]
    assert made.profile["cleaning"]["dropped"] == {"empty_text": 1}
    made = ingest(
        {"corpus.de": joined(german), "corpus.en": joined(english[:-1])},
        columns={"source": "corpus.de", "target": "corpus.en"},
    )
    assert made.codes == ["length_mismatch"]


def test_texts_of_one_kind_are_stacked(ingest: Any) -> None:
    assert ingest({"1.txt": joined(UNIQUE[:6]), "2.txt": joined(UNIQUE[6:])}).read("input").tolist() == UNIQUE


def test_a_byte_that_is_no_utf8_names_its_row(ingest: Any) -> None:
    made = ingest({"a.txt": joined(UNIQUE) + "schön war es\n".encode("latin-1")})
    assert [(fault.code, fault.row) for fault in made.faults] == [("not_utf8", 13)]
    assert "schön" in made.faults[0].message


def test_a_line_without_end(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(lines, "MOST_ROW", 5000)
    made = ingest({"a.txt": joined(UNIQUE) + b"x" * 9000})
    assert [(fault.code, fault.row) for fault in made.faults] == [("line_too_long", 13)]


def test_a_table_is_no_prose_and_prose_no_table(ingest: Any) -> None:
    table = b"a;b\n1;2\n3;4\n5;6\n"
    assert ingest({"a.txt": table}).profile["modality"] == "vectors"
    assert ingest({"a.csv": table}, format="txt").read("input").tolist() == ["a;b", "1;2", "3;4", "5;6"]
