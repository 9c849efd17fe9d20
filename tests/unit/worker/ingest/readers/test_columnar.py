"""Parquet and Arrow: every type a column may have, and files that are cut, damaged or larger than they look."""

import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker.ingest.readers import arrow, staging

N = 30
VECTORS = np.arange(N * 4, dtype=np.float32).reshape(N, 4)
IMAGES = np.arange(N * 6, dtype=np.uint8).reshape(N, 2, 3)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def file(table: pa.Table, compression: str | None = None, rows: int = 7) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def stream(table: pa.Table, compression: str | None = None, rows: int = 7) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


Write = Callable[[pa.Table], bytes]
WRITERS: dict[str, Write] = {
    "parquet": parquet,
    "parquet in groups": lambda table: parquet(table, row_group_size=7, compression="zstd"),
    "file": file,
    "file, lz4": lambda table: file(table, "lz4"),
    "file, zstd": lambda table: file(table, "zstd"),
    "stream": stream,
    "stream, zstd": lambda table: stream(table, "zstd"),
}
every = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@every
def test_plain_columns(ingest: Any, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "SLICE_BYTES", 100)
    columns = {
        "whole": np.arange(N),
        "small": np.arange(N, dtype=np.int8),
        "half": np.arange(N).astype(np.float16),
        "flag": np.arange(N) % 2 == 0,
        "price": pa.array([Decimal(n) / 4 for n in range(N)]),
        "species": pa.array(["setosa", "virginica"] * (N // 2)),
        "day": pa.array([date(2026, 1, 1 + n) for n in range(N)]),
        "extra": pa.array([{"a": 1}] * N),
    }
    made = ingest({"x": write(pa.table(columns))}, columns={"label": "species"})
    expected = [[n, n, n, n % 2 == 0, n / 4] for n in range(N)]
    np.testing.assert_array_equal(made.read("input"), np.array(expected, np.float32))
    assert made.read("target").tolist() == ["setosa", "virginica"] * (N // 2)
    assert made.profile["inferred"]["ignored"] == ["day", "extra"]


@every
def test_lists_are_arrays(ingest: Any, write: Write) -> None:
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.reshape(-1)), 4)
    made = ingest({"x": write(pa.table({"v": fixed, "label": pa.array(["a", "b"] * 15).dictionary_encode()}))})
    assert made.profile["input"] == {"name": "v", "modality": "vectors", "shape": [4]}
    np.testing.assert_array_equal(made.read("input"), VECTORS)
    assert made.profile["target"]["classes"] == {"a": 15, "b": 15}
    nested = pa.array(IMAGES.tolist(), pa.list_(pa.list_(pa.uint8())))
    made = ingest({"x": write(pa.table({"image": nested}))})
    assert made.profile["modality"] == "image"
    np.testing.assert_array_equal(made.read("input")[..., 0], IMAGES)


@every
def test_nulls_and_lists_of_other_lengths(ingest: Any, write: Write) -> None:
    values = [[1.0, 2.0]] * N
    values[11] = [1.0]
    made = ingest({"x": write(pa.table({"v": pa.array(values)}))})
    assert (made.faults[0].code, made.faults[0].row, made.faults[0].column) == ("ragged_row", 12, "v")
    plain = pa.array([None if n in (3, 20) else n for n in range(N)])
    made = ingest({"x": write(pa.table({"a": plain, "b": np.arange(N)}))})
    found = [(fault.code, fault.row, fault.column) for fault in made.faults]
    assert found == [("non_finite", 4, "a"), ("non_finite", 21, "a")]
    labels = pa.array([None, 7.0] * 15)
    made = ingest({"x": write(pa.table({"a": np.arange(N), "label": labels}))})
    assert made.read("target").tolist() == [None, "7"] * 15


@every
def test_columns_of_another_type_than_asked(ingest: Any, write: Write) -> None:
    table = pa.table({"a": np.arange(N), "s": ["1.5"] * N, "z": pa.array([b"x"] * N), "n": pa.array([{"q": 1}] * N)})
    assert ingest({"x": write(table)}, columns={"features": ["a", "z"]}).codes == ["not_a_number"]
    for name in ("z", "n"):
        made = ingest({"x": write(table)}, columns={"features": "a", "label": name})
        assert [(fault.code, fault.column) for fault in made.faults] == [("unsupported_type", name)]


@every
def test_no_rows(ingest: Any, write: Write) -> None:
    assert ingest({"x": write(pa.table({"a": pa.array([], pa.float32())}))}).codes == ["no_rows"]


@every
def test_cut_short(ingest: Any, write: Write) -> None:
    content = write(pa.table({"a": np.arange(N)}))
    for cut in (len(content) - 3, len(content) // 2, 12):
        assert ingest({"x": content[:cut]}).codes == ["truncated"]


@every
def test_damaged_anywhere_is_a_fault_or_other_numbers(ingest: Any, write: Write) -> None:
    content = write(pa.table({"a": np.arange(N) * 1.5, "label": ["a", "b"] * 15}))
    codes = set()
    for at in range(8, len(content) - 12, 61):
        hurt = bytearray(content)
        hurt[at : at + 8] = b"\xff\x7f" * 4
        codes.update(ingest({"x": bytes(hurt)}).codes)
    assert "damaged" in codes


def test_two_columns_of_one_name(ingest: Any) -> None:
    table = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])
    for content in (parquet(table), file(table)):
        assert [(fault.code, fault.column) for fault in ingest({"x": content}).faults] == [("duplicate_column", "a")]


def test_runs_that_grow_large(ingest: Any) -> None:
    table = pa.table({"a": np.ones(1_000_000), "label": pa.array(["x"] * 1_000_000).dictionary_encode()})
    made = ingest({"x": parquet(table)}, limit=2**20)
    assert made.codes == ["unpacks_too_large"]
    assert "1,000,000 rows" in made.faults[0].message


def test_pages_that_grow_large(ingest: Any) -> None:
    table = pa.table({"a": np.arange(10), "note": ["x" * 1_000_000] * 10})
    content = parquet(table, compression="zstd", use_dictionary=False)
    assert ingest({"x": content}, limit=2**20).codes == ["unpacks_too_large"]


@pytest.mark.parametrize("write", [file, stream])
def test_buffers_that_grow_large(ingest: Any, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(pa.table({"a": np.zeros(1_000_000)}), "zstd", 100_000)
    assert len(content) < 2**20
    assert ingest({"x": content}, limit=2**20).codes == ["unpacks_too_large"]
    monkeypatch.setattr(arrow, "MOST_BATCH", 40)
    assert ingest({"x": content}).codes == ["unpacks_too_large"]


def test_rows_without_bytes(ingest: Any) -> None:
    """A column of the null type takes no room at all."""
    content = file(pa.table({"a": pa.nulls(50_000_000)}), rows=50_000_000)
    assert ingest({"x": content}, limit=2**20).codes == ["unpacks_too_large"]


@every
@pytest.mark.parametrize("row", [3, 2100])
def test_a_text_that_is_none(ingest: Any, write: Write, row: int) -> None:
    texts = [f"text number {number}".encode() for number in range(2200)]
    texts[row] = b"caf\xe9 number 7"
    made = ingest({"x": write(pa.table({"text": pa.array(texts, pa.binary()).view(pa.string())}))})
    assert made.codes == ["damaged"]
    assert "UTF8" in made.faults[0].message
