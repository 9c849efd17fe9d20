"""One number for every row, the same for equal rows. Knows no file and no kind.

A row is taken as words of eight bytes. Each is mixed with its place (multiplications and xor-shifts, as Appleby's
MurmurHash3 ends with, 2011), and the row's are added up: array operations alone, which need no interpreter lock.
Legend: `n` rows, `k` words of a row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.int64]
Words = NDArray[np.uint64]
Places = NDArray[np.int64]
WORD = 8
PLACE = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: words at different places of a row must not count alike."""
FACTORS = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(32)
FIRST = np.array([(1 << 8 * size) - 1 for size in range(WORD)], np.uint64)
"""What leaves that many bytes of a word."""
SAMPLES = 3
AT_ONCE = 1 << 15
"""Words, so that they stay in the processor's cache."""


def hash_numbers(rows: NDArray[Any]) -> Hashes:
    """[n] of rows [n, W]: equal for equal numbers of one type."""
    words = _words(rows)
    places = np.arange(words.shape[1], dtype=np.uint64) * PLACE
    found = np.empty(len(rows), np.uint64)
    step = max(1, AT_ONCE // max(1, words.shape[1]))
    for start in range(0, len(rows), step):
        found[start : start + step] = _mixed(words[start : start + step] + places).sum(axis=1)
    return _mixed(found + np.uint64(rows[:1].nbytes)).view(np.int64)


def sketch_numbers(rows: NDArray[Any]) -> Hashes:
    """[n] of the same rows: equal for equal ones, and seldom for others (multilinear hashing, Lemire & Kaser 2014).

    Numbers of at most four bytes: a word is multiplied once and not mixed, and what is divisible by a power of two has
    that many bits less to differ in.
    """
    assert rows.itemsize <= WORD // 2
    words = _words(rows)
    factors = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * PLACE) | np.uint64(1)
    return _mixed(words @ factors).view(np.int64)


def hash_bytes(values: NDArray[np.uint8], starts: Places, ends: Places) -> Hashes:
    """[n] of rows of any length: row `i` is `values[starts[i] : ends[i]]`; both ascend."""
    lengths = ends - starts
    counted = np.cumsum(lengths // WORD + 1)  # a row's last word has 0 to 7 bytes of it
    everywhere = _words_everywhere(values, starts, ends)
    found = np.empty(len(lengths), np.uint64)
    start = 0
    while start < len(lengths):
        before = int(counted[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(counted, before + AT_ONCE, side="right")))
        last = counted[start:stop] - before - 1  # [rows]
        first = np.concatenate([[0], last[:-1] + 1])
        counts = last - first + 1
        places = np.arange(last[-1] + 1) - np.repeat(first, counts)
        words = everywhere[places * WORD + np.repeat(starts[start:stop] - starts[0], counts)].view(np.uint64)
        words[last] &= FIRST[lengths[start:stop] % WORD]
        words += places.view(np.uint64) * PLACE
        found[start:stop] = np.add.reduceat(_mixed(words), first)
        start = stop
    return _mixed(found + lengths.view(np.uint64)).view(np.int64)


def sketch_bytes(values: NDArray[np.uint8], starts: Places, ends: Places) -> Hashes:
    """[n] of the same rows, by their lengths and SAMPLES words of each, spread evenly: equal for equal rows, and for
    others that differ between those words alone. Rows of up to SAMPLES words are known by all of their bytes.
    """
    lengths = ends - starts
    everywhere = _words_everywhere(values, starts, ends)
    first, last, short = starts - starts[:1], np.maximum(lengths - WORD, 0), np.flatnonzero(lengths < WORD)
    found = lengths.astype(np.uint64)
    for number in range(SAMPLES):
        words = everywhere[first + last * number // (SAMPLES - 1)].view(np.uint64)
        words[short] &= FIRST[lengths[short]]
        found ^= words
        found *= PLACE
        found ^= found >> SHIFT
    return _mixed(found).view(np.int64)


def _words(rows: NDArray[Any]) -> Words:
    """[n, k] of rows [n, W]: a view if possible."""
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # minus zero becomes zero
    flat = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    if flat.shape[1] % WORD:
        flat = np.pad(flat, ((0, 0), (0, -flat.shape[1] % WORD)))
    return flat.view(np.uint64)


def _words_everywhere(values: NDArray[np.uint8], starts: Places, ends: Places) -> NDArray[Any]:
    """The eight bytes from every byte on, between the first row and the end of the last one: a view if possible."""
    if not len(starts):
        return np.zeros(0, "V8")
    size = int(ends[-1] - starts[0])
    held = np.ascontiguousarray(values[starts[0] : ends[-1] + WORD])
    if len(held) < size + WORD:
        held = np.concatenate([held, np.zeros(size + WORD - len(held), np.uint8)])
    return np.ndarray((size + 1,), "V8", held, strides=(1,))


def combine(columns: Sequence[Hashes]) -> Hashes:
    """[n] of rows that are made of several columns."""
    found = columns[0]
    for column in columns[1:]:
        found = _mixed(found.view(np.uint64) * PLACE + column.view(np.uint64)).view(np.int64)
    return found


def _mixed(words: Words) -> Words:
    """In place."""
    for factor in FACTORS:
        words ^= words >> SHIFT
        words *= factor
    words ^= words >> SHIFT
    return words
