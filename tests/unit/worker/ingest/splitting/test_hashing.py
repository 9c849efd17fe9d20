"""Equal rows have equal hashes, and no others: not those that share words, lengths or beginnings."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.ragged import Ragged
from worker.ingest.splitting import hashing
from worker.ingest.splitting.hashing import combine, hash_bytes, hash_numbers, sketch_bytes, sketch_numbers

TEXTS = st.lists(st.text("ab\0", max_size=20).map(str.encode) | st.binary(max_size=40), min_size=1, max_size=30)


def ragged(rows: list[bytes]) -> Ragged:
    return Ragged.of([np.frombuffer(row, np.uint8) for row in rows])


def hashed(rows: Ragged) -> Any:
    return hash_bytes(rows.values, rows.offsets[:-1], rows.offsets[1:])


@given(TEXTS)
def test_texts_are_told_apart_as_python_does(rows: list[bytes]) -> None:
    held = ragged(rows)
    assert len(set(hashed(held).tolist())) == len(set(rows))
    part = held[1:]
    assert hashed(part).tolist() == hashed(held).tolist()[1:]


@pytest.mark.parametrize("at_once", [1, 3, 64])
def test_where_a_row_lies_does_not_matter(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    rows = [b"x" * length for length in range(100)] * 2
    held = ragged(rows)
    whole = hashed(held)
    monkeypatch.setattr(hashing, "AT_ONCE", at_once)
    found = hashed(held)
    assert found.tolist() == whole.tolist()
    assert found[:100].tolist() == found[100:].tolist()
    assert len(set(found.tolist())) == 100


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int16])
def test_every_row_of_a_grid_is_another(kind: type) -> None:
    grid: NDArray[Any] = np.array(list(product(range(24), repeat=3)), kind)
    for columns in (grid, grid * kind(2), np.repeat(grid, 3, axis=1)):
        assert len(np.unique(hash_numbers(columns))) == len(grid)
        if columns.itemsize <= 4:
            assert len(np.unique(sketch_numbers(columns))) == len(grid)
            assert sketch_numbers(columns)[::-1].tolist() == sketch_numbers(columns[::-1]).tolist()


@pytest.mark.parametrize("hashed", [hash_numbers, sketch_numbers])
def test_minus_zero_is_zero(hashed: Any) -> None:
    one, other = hashed(np.array([[0.0, 1.0], [-0.0, 1.0]], np.float32))
    assert one == other


def test_columns_count_by_their_order() -> None:
    one, other = (hash_numbers(np.arange(n, n + 5)[:, None]) for n in (0, 100))
    assert not set(combine([one, other]).tolist()) & set(combine([other, one]).tolist())


@given(TEXTS)
def test_sketches_of_equal_texts_are_equal_and_those_of_short_ones_tell_them_apart(rows: list[bytes]) -> None:
    held = ragged([*rows, b"what stands behind", *rows])
    found = sketch_bytes(held.values, held.offsets[:-1], held.offsets[1:]).tolist()
    assert found[: len(rows)] == found[len(rows) + 1 :]
    short = {row: sketch for row, sketch in zip(rows, found, strict=False) if len(row) <= 32}
    assert len(set(short.values())) == len(short)


def test_rows_may_lie_apart() -> None:
    values = np.frombuffer(b"one\none two\r\n\none", np.uint8)
    starts, ends = np.array([0, 4, 13, 14]), np.array([3, 11, 13, 17])
    for each in (hash_bytes, sketch_bytes):
        found = each(values, starts, ends).tolist()
        assert found[0] == found[3]
        assert len(set(found)) == 3
