"""Rows that are nearly equal and stand in different splits, by coarse fingerprints; some that differ more are missed.

Texts: equal but for case, punctuation and spaces. Pictures: equal once shrunk to 8 by 8 in 16 shades. Vectors: equal
once every column is rounded to a twentieth of its deviation. Sixteen bytes are held for every row of train.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.dataset import Split
from app.dataset_options import SPLITS
from worker.ingest.duplicates import among, hash_rows, row_bytes
from worker.ingest.profile.sample import Sample, take, thumbs

MOST_ROWS = 1_000_000
"""Of all splits; beyond, near duplicates are not looked for."""
SIDE, SHADES = 8, 16
FINE = 20
Fingerprint = Callable[[Any], Sequence[bytes] | Sequence[str]]


def near_duplicates(splits: dict[str, Split], role: str) -> dict[str, int] | None:
    """Rows of validation and test that have a near (not exact) double in train; None where nobody looked."""
    modality = splits["train"].modalities[role]
    if sum(split.rows for split in splits.values()) > MOST_ROWS or modality not in ("vectors", "image", "text"):
        return None
    fingerprint = _fingerprint(modality, take(splits["train"], role))
    coarse, exact = (_hashes(splits["train"], role, one) for one in (fingerprint, _exact))
    found: dict[str, int] = {}
    for name in SPLITS[1:]:
        found[name] = 0
        for batch in range(splits[name].batches):
            column = splits[name].read(role, batch)
            near = among(hash_rows([fingerprint(column)]), coarse) & ~among(hash_rows([_exact(column)]), exact)
            found[name] += int(near.sum())
    return found


def _hashes(split: Split, role: str, fingerprint: Fingerprint) -> NDArray[np.int64]:
    """Of all rows, ascending."""
    found, done = np.empty(split.rows, np.int64), 0
    for batch in range(split.batches):
        hashes = hash_rows([fingerprint(split.read(role, batch))])
        found[done : done + len(hashes)] = hashes
        done += len(hashes)
    found.sort()
    return found


def _words(column: NDArray[Any]) -> list[str]:
    """The words alone, in small letters, one space between two."""
    lower = pc.utf8_lower(pa.array(column, pa.string()))
    words: list[str] = pc.replace_substring_regex(lower, r"[^\pL\pN]+", " ").to_pylist()
    return [text.strip() for text in words]


def _exact(column: Any) -> Sequence[bytes] | Sequence[str]:
    if column.dtype == object:
        return list(column)
    return row_bytes(column.reshape(len(column), -1))


def _fingerprint(modality: str, sample: Sample) -> Fingerprint:
    if modality == "text":
        return _words
    if modality == "vectors":
        known = np.isfinite(sample.raw)
        filled, count = np.where(known, sample.raw, 0), np.maximum(known.sum(axis=0), 1)
        spread = np.sqrt((np.where(known, filled - filled.sum(axis=0) / count, 0) ** 2).sum(axis=0) / count)
        step = np.where(spread > 0, spread / FINE, 1)
        return lambda column: _exact(np.nan_to_num(np.round(column / step)).astype(np.float32))
    return lambda column: _exact((thumbs(column, SIDE) * (SHADES - 1)).round().astype(np.uint8))
