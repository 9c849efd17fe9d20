"""Rows that are nearly equal and stand in different splits, by coarse fingerprints; some that differ more are missed.

Texts: equal but for case, punctuation and spaces. Pictures: equal once shrunk to 8 by 8 in 16 shades. Vectors: equal
once every column is rounded to a twentieth of its deviation, unless rows of columns shuffled one by one come about as
near: a few numbers meet by chance. Sixteen bytes are held for every row of train.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.dataset import Split
from app.dataset_options import SPLITS
from worker.ingest.profile.sample import Sample, take, thumbs
from worker.ingest.splitting.duplicates import among
from worker.ingest.splitting.hashing import Hashes, hash_bytes, hash_numbers
from worker.ingest.stages import as_bytes

MOST_ROWS = 1_000_000
"""Of all splits; beyond, near duplicates are not looked for."""
CHANCE = 2
"""How many times as many rows have to be near as are by chance."""
SIDE, SHADES = 8, 16
FINE = 20
SMALL = bytes(range(256)).lower()
OTHERS = bytes(code for code in range(128) if not chr(code).isalnum())
"""ASCII that is neither letter nor digit."""
IS_OTHER = bytes(code in OTHERS for code in range(256))
Fingerprint = Callable[[Any], Hashes]


def near_duplicates(splits: dict[str, Split], role: str) -> dict[str, int] | None:
    """Rows of validation and test that have a near (not exact) double in train; None where nobody looked."""
    modality = splits["train"].modalities[role]
    if sum(split.rows for split in splits.values()) > MOST_ROWS or modality not in ("vectors", "image", "text"):
        return None
    fingerprint = _fingerprint(modality, take(splits["train"], role))
    coarse = _hashes(splits["train"], role, fingerprint)
    exact: Hashes | None = None
    found: dict[str, int] = {}
    random = np.random.default_rng(0)
    for name in SPLITS[1:]:
        found[name] = chance = 0
        for batch in range(splits[name].batches):
            column = _column(splits[name], role, batch)
            near = among(fingerprint(column), coarse)
            if near.any():
                exact = _hashes(splits["train"], role, _exact) if exact is None else exact
                near &= ~among(_exact(column), exact)
                if modality == "vectors":
                    chance += int(among(fingerprint(random.permuted(column, axis=0)), coarse).sum())
            found[name] += int(near.sum())
        if found[name] < CHANCE * chance:
            found[name] = 0
    return found


def _column(split: Split, role: str, batch: int) -> Any:
    """An Arrow column of texts, an array of all else."""
    return (split.stored if split.modalities[role] == "text" else split.read)(role, batch)


def _hashes(split: Split, role: str, fingerprint: Fingerprint) -> Hashes:
    """Of all rows, ascending."""
    found, done = np.empty(split.rows, np.int64), 0
    for batch in range(split.batches):
        hashes = fingerprint(_column(split, role, batch))
        found[done : done + len(hashes)] = hashes
        done += len(hashes)
    found.sort()
    return found


def _words(column: pa.StringArray) -> Hashes:
    """Of letters and digits alone, whatever their case."""
    foreign = pc.invert(pc.string_is_ascii(column))
    if pc.any(foreign).as_py():
        plain = pc.replace_substring_regex(pc.utf8_lower(column.filter(foreign)), r"[^\pL\pN]+", "")
        column = pc.replace_with_mask(column, foreign, plain)
    values, offsets = as_bytes(column)
    held = values.tobytes()
    others = np.flatnonzero(np.frombuffer(held.translate(IS_OTHER), np.bool_))
    words = np.frombuffer(held.translate(SMALL, OTHERS), np.uint8)
    offsets = offsets - np.searchsorted(others, offsets)
    return hash_bytes(words, offsets[:-1], offsets[1:])


def _exact(column: Any) -> Hashes:
    if isinstance(column, pa.Array):
        values, offsets = as_bytes(column)
        return hash_bytes(values, offsets[:-1], offsets[1:])
    return hash_numbers(column.reshape(len(column), -1))


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
