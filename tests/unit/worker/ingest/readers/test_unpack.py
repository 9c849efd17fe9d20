"""Files packed as a whole: every format, cut short, damaged, twice, and never more than is allowed."""

import gzip
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

VALUES = np.arange(40, dtype=np.float64).reshape(20, 2)
TABLE = pa.table({"x": VALUES[:, 0], "y2": VALUES[:, 1]})


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:  # says its length in no header, as a pipe does not
        stream.write(content)
    return bytes(sink.getvalue())


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstd}


def contents() -> dict[str, bytes]:
    parquet, arrow, array = io.BytesIO(), io.BytesIO(), io.BytesIO()
    pq.write_table(TABLE, parquet)
    with pa.ipc.new_file(arrow, TABLE.schema) as writer:
        writer.write_table(TABLE)
    np.save(array, VALUES)
    rows = TABLE.to_pylist()
    return {
        "csv": ("x,y2\n" + "".join(f"{row['x']},{row['y2']}\n" for row in rows)).encode(),
        "tsv": ("x\ty2\n" + "".join(f"{row['x']}\t{row['y2']}\n" for row in rows)).encode(),
        "jsonl": "".join(f'{{"x": {row["x"]}, "y2": {row["y2"]}}}\n' for row in rows).encode(),
        "parquet": parquet.getvalue(),
        "arrow": arrow.getvalue(),
        "npy": array.getvalue(),
    }


@pytest.mark.parametrize("packing", [None, *PACKERS])
@pytest.mark.parametrize("name", contents())
def test_every_format_packed_and_not(ingest: Any, name: str, packing: str | None) -> None:
    content = contents()[name]
    packed = PACKERS[packing](content) if packing else content
    for options in ({}, {"format": name}):
        made = ingest({f"data.{name}.{packing}": packed}, **options)
        assert made.faults == []
        np.testing.assert_array_equal(made.read("input"), VALUES)


@pytest.mark.parametrize("packing", PACKERS)
def test_cut_short(ingest: Any, packing: str) -> None:
    made = ingest({"x": PACKERS[packing](contents()["csv"])[:-9]})
    assert made.codes == ["truncated"]
    assert f"its {packing[:1]}" in made.faults[0].message


@pytest.mark.parametrize("packing", PACKERS)
def test_damaged(ingest: Any, packing: str) -> None:
    content = bytearray(PACKERS[packing](np.random.default_rng(0).bytes(5000)))
    content[4:40] = b"\xff" * 36
    assert ingest({"x": bytes(content)}).codes == ["damaged"]


@pytest.mark.parametrize("packing", PACKERS)
def test_a_bomb_is_refused_by_the_limit(ingest: Any, packing: str) -> None:
    made = ingest({"x": PACKERS[packing](b"1,2\n" * 2**20)}, limit=2**20)
    assert made.codes == ["unpacks_too_large"]


def test_a_bomb_is_refused_by_its_ratio(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ingest.readers.unpack.RATIO_FREE", 2**20)
    assert ingest({"x": zstd(b"1,2\n" * 2**20)}).codes == ["unpacks_too_large"]


def test_packed_twice(ingest: Any) -> None:
    assert ingest({"x": gzip.compress(zstd(contents()["csv"]))}).codes == ["unknown_format"]


def test_nothing_packed(ingest: Any) -> None:
    assert ingest({"x": gzip.compress(b"")}).codes == ["empty_file"]
