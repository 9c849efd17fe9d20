"""Series in lines, as sktime and aeon keep them."""

from typing import Any

import numpy as np
import pytest

from tests.picture_archives import to_zip
from worker.ingest.readers import measured

SERIES = np.random.default_rng(0).normal(size=(40, 3, 7)).round(4)  # rows, channels, steps
CLASSES = ["walks", "runs"]
HEAD = (
    "%# made\n#for tests\n@problemName steps\n@timeStamps false\n@missing false\n@classLabel true walks runs\n@data\n"
)


def line(channels: Any, told: object) -> str:
    return ":".join([*(",".join(map(str, steps)) for steps in channels), *([] if told is None else [str(told)])])


def content(head: str = HEAD, first: int = 0, last: int = 40) -> str:
    return head + "".join(line(SERIES[row], CLASSES[row % 2]) + "\n" for row in range(first, last))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk", [50, 1000, 1 << 20])
def test_channels_of_steps(ingest: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, newline: str) -> None:
    monkeypatch.setattr(measured, "CHUNK", chunk)
    made = ingest({"steps.ts": content().replace("\n", newline).encode()})
    assert (made.profile["input"]["channels"], made.profile["input"]["shape"]) == (3, [21])
    assert np.allclose(made.read("input").reshape(40, 7, 3), SERIES.transpose(0, 2, 1), atol=1e-6)
    assert made.read("target").tolist() == [CLASSES[row % 2] for row in range(40)]


def test_the_same_in_several_formats_with_splits(ingest: Any) -> None:
    """As archives of such series are handed out."""
    parts = {"TRAIN": (0, 30), "TEST": (30, 40)}
    members = {f"Steps_{part}.ts": content(HEAD, *rows).encode() for part, rows in parts.items()}
    members |= {f"Steps_{part}.arff": b"@relation x\n@attribute bag relational\n" for part in parts}
    members |= {f"Steps_{part}.txt": b"1 2 3\n4 5 6\n" for part in parts}
    made = ingest({"Steps.zip": to_zip({**members, "README.md": b"Steps, measured."})})
    assert made.splits["test"].read("input", 0).shape == (10, 21)
    assert made.profile["target"]["classes"] == dict.fromkeys(CLASSES, 20)


def test_numbers_are_to_be_told_and_some_are_not_known(ingest: Any) -> None:
    lines = [line(SERIES[row, :1], "?" if row == 5 else row / 8) for row in range(40)]
    lines[7] = lines[7].replace(str(SERIES[7, 0, 3]), "?")
    head = "@problemname x\n@targetlabel true\n@data\n"
    made = ingest({"x.ts": (head + "\n".join(lines)).encode()}, cleaning={"non_finite": "drop"})
    assert made.profile["target"]["modality"] == "numbers"
    assert made.profile["target"]["missing"] == 1
    assert made.profile["input"]["shape"] == [7]
    assert len(made.read("input")) == 39


def test_nothing_is_to_be_told(ingest: Any) -> None:
    lines = [line(SERIES[row], None) for row in range(40)]
    made = ingest({"x.ts": ("@problemName x\n@classLabel false\n@data\n" + "\n".join(lines)).encode()})
    assert np.allclose(made.read("input").reshape(40, 7, 3), SERIES.transpose(0, 2, 1), atol=1e-6)
    assert made.profile["target"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "1,2:3,4:runs\n1,2:3,4,5:runs\n", "row 2: 2 channels of 2 or 3 steps, and row 1 has 2 of 2"),
        (HEAD + "1,2:3,4:runs\n1,2:runs\n", "row 2: 1 channels of 2 steps"),
        (HEAD + "1,2:runs\nx,2:runs\n", "'x'"),
        (HEAD.replace("@timeStamps false", "@timeStamps true") + "(0,1),(1,2):runs\n", "gives its numbers times"),
        (HEAD.replace("@data\n", "") + "1,2:runs\n", "no line @data"),
        (HEAD, "no rows"),
        (HEAD.replace("class", "target") + "1,2:3\n2,3:high\n", "'high'"),
        (HEAD + "1," * 40_000_000, "longer than 67,108,864 bytes"),
    ],
)
def test_what_is_no_series_is_named(ingest: Any, text: str, said: str) -> None:
    made = ingest({"x.ts": text.encode()})
    assert said in made.faults[0].message
