"""Recordings as cells of tables: bytes, Hugging Face's struct, base64 and data: URIs, by the same steps as archives."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tests.sounds import sound, tone
from tests.unit.worker.ingest.archives.test_encoded import arrow, csv, parquet
from tests.unit.worker.ingest.archives.test_recordings import rows

TONES = [tone(200 + 40 * n, 0.05 + 0.01 * n) for n in range(10)]
FILES = [sound(samples) for samples in TONES]
LABELS = ["no", "yes"] * 5
STRUCT = [{"bytes": content, "path": f"{n}.wav"} for n, content in enumerate(FILES)]
PLAIN = [base64.b64encode(content).decode() for content in FILES]
URIS = [f"data:audio/wav;base64,{text}" for text in PLAIN]


def lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


def table(cells: Any) -> pa.Table:
    return pa.table({"id": list(range(len(cells))), "clip": cells, "label": LABELS[: len(cells)]})


@pytest.mark.parametrize(
    ("pack", "cells"),
    [
        (parquet, FILES),
        (parquet, STRUCT),
        (parquet, URIS),
        (arrow, STRUCT),
        (arrow, pa.array(FILES, pa.large_binary())),
        (lines, URIS),
        (lines, PLAIN),
        (csv, PLAIN),
    ],
)
def test_cells_become_recordings(ingest: Any, pack: Callable[[pa.Table], bytes], cells: Any) -> None:
    made = ingest({"x": pack(table(cells))})
    assert made.faults == []
    facts = made.profile["input"]
    assert (facts["modality"], facts["name"], facts["rates"]) == ("audio", "clip", {"16000": 10})
    assert rows(made) == [samples.tolist() for samples in TONES]
    assert made.read("target").tolist() == LABELS
    assert made.profile["inferred"]["ignored"] == ["id"]


def test_mixed_formats_and_rates_become_one(ingest: Any) -> None:
    kinds = [(44_100, "WAV"), (8_000, "FLAC"), (22_050, "OGG"), (16_000, "MP3")] * 2
    cells = [sound(tone(300 + n, 0.2, rate), rate, kind) for n, (rate, kind) in enumerate(kinds)]
    facts = ingest({"x": parquet(table(cells))}).profile["input"]
    assert (facts["rate"], facts["rates"]) == (16_000, {"8000": 2, "16000": 2, "22050": 2, "44100": 2})


def test_what_is_wrong_with_a_cell_has_its_row(ingest: Any) -> None:
    content = parquet(table([*FILES[:3], FILES[3][:300], b"no sound", *FILES[5:]]))
    made = ingest({"x": content})
    found = [(fault.row, fault.column, fault.code) for fault in made.faults]
    assert found == [(4, "clip", "no_recording"), (5, "clip", "no_recording")]
    left = ingest({"x": content}, on_fault="drop")
    assert left.profile["cleaning"]["dropped"] == {"no_recording": 2}
    assert rows(left) == [TONES[n].tolist() for n in range(10) if n not in (3, 4)]


def test_texts_beside_recordings_are_their_captions(ingest: Any) -> None:
    said = [f"what is said in recording {n}" for n in range(9)] + [""]
    made = ingest({"x": parquet(pa.table({"clip": FILES, "said": said}))})
    assert made.profile["inferred"]["caption"] == "'said', the only column of texts"
    assert made.read("caption").tolist() == said
    assert made.profile["target"] is None
    assert made.profile["rows"] == 10, "a recording of which nobody says anything is a recording all the same"


def test_columns_choose_among_media(ingest: Any) -> None:
    other = [sound(tone(900 + n, 0.05)) for n in range(10)]
    texts = [f"what is said in recording {n}" for n in range(10)]
    content = parquet(pa.table({"a": FILES, "b": other, "said": texts}))
    assert ingest({"x": content}).profile["caption"]["name"] == "said"
    assert ingest({"x": content}, columns={"audio": "b"}).profile["input"]["name"] == "b"
    made = ingest({"x": content}, columns={"left": "a", "right": "said"})
    assert [made.profile[role]["modality"] for role in ("left", "right")] == ["audio", "text"]
    assert ingest({"x": content}, modality="text").profile["modality"] == "text"
    assert ingest({"x": content}, columns={"image": "a"}).codes == ["unsupported_shape"]
