"""Recordings: folders, metadata, transcripts, rates and formats, silence, and every one that cannot be read."""

import gzip
from typing import Any

import numpy as np
import pytest

from app.ml.audio.sounds import decode
from tests.picture_archives import to_tar, to_zip
from tests.sounds import sound, tone
from worker.ingest import groups
from worker.ingest.kinds import base

TONES = [tone(200 + 40 * n, 0.05 + 0.01 * n) for n in range(10)]
SOUNDS = {f"words/{'yes' if n % 2 else 'no'}/{n}.wav": sound(TONES[n]) for n in range(10)}


def rows(made: Any) -> list[list[int]]:
    """Samples of all splits, in the order of the source."""
    found: dict[int, list[int]] = {}
    for split in made.splits.values():
        for batch in range(split.batches):
            column = split.read("input", batch)
            found |= {int(row): column.row(n).tolist() for n, row in enumerate(split.read("row", batch))}
    return [found[row] for row in sorted(found)]


@pytest.mark.parametrize("pack", [to_zip, lambda members: gzip.compress(to_tar(members))])
def test_folders_are_classes(ingest: Any, pack: Any) -> None:
    made = ingest({"words": pack(SOUNDS | {"words/README.md": b"# Words", "words/.DS_Store": b"x"})})
    facts = made.profile["input"]
    assert made.profile["modality"] == facts["modality"] == "audio"
    assert (facts["rate"], facts["rates"], facts["channels"]) == (16_000, {"16000": 10}, {"1": 10})
    seconds = facts["seconds"]
    assert [seconds[name] for name in ("min", "median", "max")] == pytest.approx([0.05, 0.095, 0.14])
    assert facts["silence"] == 0
    assert made.read("target").tolist() == ["no", "yes"] * 5
    assert rows(made) == [samples.tolist() for samples in TONES]
    assert "passed over: 2 other files" in made.profile["inferred"]["audio"]
    assert made.profile["inferred"]["label"] == "the folder in which the recording lies"


@pytest.mark.parametrize("modality", ["text", "vectors", "image"])
def test_recordings_where_something_else_was_asked_for_are_one_fault(ingest: Any, modality: str) -> None:
    (fault,) = ingest({"words.zip": to_zip(SOUNDS)}, modality=modality).faults
    assert fault.message == f"words.zip holds recordings, which modality audio reads, not {modality}"


def test_any_rate_and_channels_become_one(ingest: Any) -> None:
    contents = {
        "0.wav": sound(tone(440, 0.2, 44_100), 44_100),
        "1.flac": sound(np.stack([tone(300, 0.2, 8000)] * 2, axis=1), 8000, "FLAC"),
        "2.ogg": sound(tone(500, 0.2, 22_050), 22_050, "OGG"),
        "3.mp3": sound(tone(600, 0.2), 16_000, "MP3"),
    }
    made = ingest({"x": to_zip(contents)}, sample_rate=12_000)
    facts = made.profile["input"]
    assert facts["rates"] == {"8000": 1, "16000": 1, "22050": 1, "44100": 1}
    assert facts["channels"] == {"1": 3, "2": 1}
    assert facts["seconds"]["max"] == pytest.approx(0.2, abs=0.01)
    assert rows(made) == [decode(content, "x", 12_000).tolist() for content in contents.values()]


def test_metadata_says_speaker_and_split(ingest: Any) -> None:
    lines = [f"clips/{n}.wav,{'ab'[n % 2]},speaker {n // 2},{'test' if n > 7 else 'train'}" for n in range(10)]
    table = "\n".join(["file_name,label,speaker,split", *lines]).encode()
    members = {f"clips/{n}.wav": sound(TONES[n]) for n in range(10)} | {"metadata.csv": table}
    made = ingest({"x": to_zip(members)}, columns={"group": "speaker"})
    assert made.profile["splits"] == {"train": 6, "validation": 2, "test": 2}
    drawn = ingest({"x": to_zip(members)}, columns={"group": "speaker"}, split={"train": 0.6, "test": 0.4})
    sides = {
        str(name): {s for s, part in drawn.splits.items() if name in part.read("group", 0)}
        for name in drawn.read("group")
    }
    assert len(sides) == 5
    assert all(len(side) == 1 for side in sides.values())


def test_transcripts_in_the_manner_of_ljspeech(ingest: Any) -> None:
    lines = [f'LJ{n:03}|He said "{n}, and no quote ends|he said {n} and so on' for n in range(10)]
    members = {f"LJSpeech/wavs/LJ{n:03}.wav": sound(TONES[n]) for n in range(10)}
    members |= {"LJSpeech/metadata.csv": "\n".join(lines).encode(), "LJSpeech/README": b"about"}
    made = ingest({"lj": to_tar(members)}, columns={"caption": "normalised"})
    assert made.profile["modality"] == "audio"
    assert made.read("caption").tolist() == [f"he said {n} and so on" for n in range(10)]
    assert (
        ingest({"lj": to_tar(members)}, columns={"caption": "transcript"}).read("caption")[3].startswith('He said "3')
    )
    gone = members | {"LJSpeech/metadata.csv": "\n".join([*lines, "LJ999|gone|gone"]).encode()}
    fault = ingest({"lj": to_tar(gone)}).faults[0]
    assert (fault.code, fault.row) == ("missing_file", 11)
    latin = members | {"LJSpeech/metadata.csv": "LJ000|é|é\n".encode("latin-1")}
    assert ingest({"lj": to_tar(latin)}).codes == ["not_utf8"]


def test_every_upload_may_be_a_recording(ingest: Any) -> None:
    made = ingest({f"{n}.wav": sound(TONES[n], 8000 * (1 + n % 2)) for n in range(6)})
    assert made.profile["input"]["rates"] == {"8000": 3, "16000": 3}
    assert [len(row) for row in rows(made)] == [len(TONES[n]) * (2 - n % 2) for n in range(6)]
    assert made.profile["target"] is None


def test_recordings_that_cannot_be_read(ingest: Any) -> None:
    flac = sound(np.random.default_rng(0).normal(0, 0.1, 8000), 16_000, "FLAC")
    broken = {
        "a/empty.wav": sound(TONES[0][:0]),
        "a/text.wav": b"just text",
        "b/cut.wav": SOUNDS["words/no/0.wav"][:900],
    }
    made = ingest({"x.zip": to_zip(SOUNDS | broken)})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [
        ("no_recording", 11, "audio"),
        ("no_recording", 12, "audio"),
        ("no_recording", 13, "audio"),
    ]
    assert "a/empty.wav: holds no samples" in made.faults[0].message
    damaged = bytearray(flac)
    damaged[len(flac) // 2 :] = bytes(len(flac) - len(flac) // 2)
    made = ingest({"x.zip": to_zip(SOUNDS | {"a/d.flac": bytes(damaged)})})
    assert made.codes == ["damaged_recording"]
    left = ingest({"x.zip": to_zip(SOUNDS | broken | {"a/d.flac": bytes(damaged)})}, on_fault="drop")
    assert left.profile["rows"] == 10
    assert left.profile["cleaning"]["dropped"] == {"no_recording": 3, "damaged_recording": 1}


def test_recordings_that_would_unpack_too_large(ingest: Any) -> None:
    made = ingest(
        {"x": to_zip({f"{n}.flac": sound(np.zeros(400_000, np.int16), 8000, "FLAC") for n in range(3)})}, limit=2**21
    )
    assert made.codes == ["unpacks_too_large"]
    assert "give a lower sample_rate" in made.faults[0].message


def test_silence_is_kept_left_out_or_trimmed(ingest: Any) -> None:
    edge = np.zeros(3200, np.int16)
    members = {f"{n}.wav": sound(np.concatenate([edge, TONES[n], edge])) for n in range(6)}
    packed = to_zip(members | {"6.wav": sound(edge), "7.wav": sound(edge[:-1] + 5)})
    kept = ingest({"x": packed})
    assert kept.profile["rows"] == 8
    assert kept.profile["input"]["silence"] == pytest.approx(0.86, abs=0.02)
    assert any("2 recordings of silence alone" in warning for warning in kept.profile["warnings"])
    dropped = ingest({"x": packed}, cleaning={"silence": "drop"})
    assert (dropped.profile["rows"], dropped.profile["cleaning"]["dropped"]) == (6, {"silent": 2})
    trimmed = ingest({"x": packed}, cleaning={"silence": "trim"})
    assert trimmed.profile["cleaning"]["changed"] == {"trimmed": 6}
    for row, samples in zip(rows(trimmed), TONES, strict=False):
        assert len(samples) <= len(row) < len(samples) + 640
    assert trimmed.profile["input"]["silence"] < 0.1


def test_silence_that_is_a_class_is_wanted(ingest: Any) -> None:
    """One of 20 recordings of it crackles, and they are most of the time; elsewhere silence is still told of."""
    still = [sound(np.full(1600 + n, n % 3, np.int16)) for n in range(20)]
    members = SOUNDS | {f"words/none/{n}.wav": content for n, content in enumerate([*still[1:], sound(TONES[9][:-1])])}
    about = ingest({"x": to_zip(members)}).profile
    assert about["target"]["classes"] == {"no": 5, "none": 20, "yes": 5}
    assert not [warning for warning in about["warnings"] if "silence" in warning]
    for more in (
        {"words/no/still.wav": still[0]},
        {f"words/none/{n + 50}.wav": sound(TONES[n][:-2]) for n in range(5)},
    ):
        warnings = ingest({"x": to_zip(members | more)}).profile["warnings"]
        assert any("recordings of silence alone; cleaning.silence leaves such out" in warning for warning in warnings)


def test_long_recordings_pass_a_few_at_a_time(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "RAGGED_BYTES", 4000)
    sizes, original = [], base.Block

    def counted(*given: Any) -> base.Block:
        block = original(*given)
        sizes.append(block.rows)
        return block

    monkeypatch.setattr("worker.ingest.groups.Block", counted)
    made = ingest({"x": to_zip(SOUNDS)})
    assert rows(made) == [samples.tolist() for samples in TONES]
    assert max(sizes) <= 2
    assert sum(sizes) == 2 * 10


def test_recordings_that_are_too_short_or_too_long(ingest: Any) -> None:
    content = {"x": to_zip(SOUNDS)}  # 0.05 to 0.14 s
    made = ingest(content, cleaning={"min_seconds": 0.065, "max_seconds": 0.125, "long": "drop"})
    assert made.profile["cleaning"]["dropped"] == {"short_recording": 2, "long_recording": 2}
    assert rows(made) == [samples.tolist() for samples in TONES[2:8]]
    cut = ingest(content, cleaning={"max_seconds": 0.125})
    assert rows(cut) == [samples.tolist()[:2000] for samples in TONES]
    assert cut.profile["cleaning"]["changed"] == {"cut": 2}
    refused = ingest(content, cleaning={"min_seconds": 0.065, "empty": "fault", "max_seconds": 0.125, "long": "fault"})
    assert [(fault.row, fault.code) for fault in refused.faults] == [
        (1, "short_recording"),
        (2, "short_recording"),
        (9, "long_recording"),
        (10, "long_recording"),
    ]


def test_recordings_that_are_not_read_are_told_how_to_be_converted(ingest: Any) -> None:
    m4a = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(100)

    made = ingest({"a.zip": to_zip({f"{name}/{n}.m4a": m4a for name in "ab" for n in range(3)})})

    assert made.codes == ["no_recording"] * 6
    assert "recording 1, a/0.m4a: is M4A or MP4, which is not read; convert it to WAV" in made.faults[0].message
