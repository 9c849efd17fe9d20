"""Rows of finished splits as plain vectors, so that one set of questions serves every modality. Knows no answer.

Of at most SAMPLE rows, spread evenly over a split. Vectors stay as they are, gaps filled; pictures are shrunk; texts
become hashed word frequencies, weighted by rarity; recordings the loudness of bands and how it varies.
Legend: `n` rows, `F` numbers per row.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.dataset import Split
from app.ragged import Ragged

SAMPLE = 4000
MOST_COLUMNS = 1024
THUMB = 16
"""Height and width of shrunk pictures."""
BUCKETS = 1024
"""Of hashed words."""
BANDS = 24
WORD = re.compile(r"\w+")
Features = NDArray[np.float32]


@dataclass
class Sample:
    """Some rows of a split."""

    rows: NDArray[np.int64]
    """[n] positions in the source"""
    raw: Any
    """The input's raw column: an array or Ragged"""
    modality: str
    labels: NDArray[Any]
    """[n] of str or None"""
    values: NDArray[Any]
    """[n] of numbers that are to be told, NaN where there are none"""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def features(self) -> Features:
        """[n, F]; of wide tables MOST_COLUMNS columns"""
        raw = self.raw[:, self.columns] if self.modality == "vectors" else self.raw
        found: Features = FEATURES[self.modality](raw).astype(np.float32, copy=False)
        return found

    @property
    def columns(self) -> NDArray[np.int64]:
        """Positions of a table's columns that are looked at, spread evenly."""
        width = self.raw.shape[1]
        return np.linspace(0, width - 1, min(width, MOST_COLUMNS)).round().astype(np.int64)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return np.array([label is not None for label in self.labels], np.bool_)


def take(split: Split, role: str, limit: int = SAMPLE) -> Sample:
    """At most `limit` rows of a split, spread evenly over it."""
    chosen = np.arange(split.rows)
    if split.rows > limit:
        chosen = np.linspace(0, split.rows - 1, limit).round().astype(np.int64)
    parts: list[list[Any]] = []
    first = 0
    for batch, size in enumerate(split.sizes):
        inside = chosen[(chosen >= first) & (chosen < first + size)] - first
        if len(inside):
            parts.append([split.read(name, batch, inside) for name in (role, "target", "row")])
        first += size
    modality = split.modalities[role]
    asked = split.modalities.get("target")
    raw, target, rows = (_join([part[place] for part in parts]) for place in range(3)) if parts else ([], [], [])
    labels = target if asked == "classes" else np.full(len(rows), None, dtype=object)
    one = asked == "numbers" and np.size(target) == len(rows)
    values = np.asarray(target, np.float64).reshape(-1) if one else np.full(len(rows), np.nan)
    return Sample(np.asarray(rows, np.int64), raw, modality, labels, values)


def scaled(train: Features, other: Features) -> tuple[Features, Features]:
    """Both, every column with mean 0 and deviation 1 in `train`."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 1e-12, spread, 1)
    return (train - mean) / spread, (other - mean) / spread


def thumbs(raw: NDArray[np.uint8], side: int) -> Features:
    """Pictures [n, H, W, C] in gray, 0 to 1, each side `side` places at most: [n, h, w]."""
    gray: NDArray[Any] = raw[..., 0].astype(np.float32)
    for channel in range(1, raw.shape[3]):
        gray += raw[..., channel]
    gray /= np.float32(255 * raw.shape[3])
    for axis, spread in ((1, (1, -1, 1)), (2, (1, 1, -1))):
        size = gray.shape[axis]
        if size > side:
            edges = np.linspace(0, size, side + 1).round().astype(np.int64)
            widths = np.diff(edges).astype(np.float32).reshape(spread)
            gray = np.add.reduceat(gray, edges[:-1], axis=axis) / widths
    return np.asarray(gray, np.float32)


def _join(parts: list[Any]) -> Any:
    if isinstance(parts[0], Ragged):
        return Ragged.of([part.row(number) for part in parts for number in range(len(part))])
    return np.concatenate(parts)


def _vectors(raw: NDArray[np.float32]) -> Features:
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(raw), raw, np.nan)
    gaps = np.isnan(known)
    if gaps.any():
        middle = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0 for c in known.T], np.float32)
        known = np.where(gaps, middle, known)
    return known.astype(np.float32)


def _pictures(raw: NDArray[np.uint8]) -> Features:
    return np.ascontiguousarray(thumbs(raw, THUMB).reshape(len(raw), -1))


def _texts(raw: NDArray[Any]) -> Features:
    counts = np.zeros((len(raw), BUCKETS), np.float32)
    bucket = cache(lambda word: zlib.crc32(word.encode()) % BUCKETS)
    for row, text in enumerate(raw):
        words = np.fromiter(map(bucket, WORD.findall(text.casefold())), np.int64)
        counts[row] = np.bincount(words, minlength=BUCKETS)
    seen = (counts > 0).sum(axis=0)
    weighted = np.log1p(counts) * np.log((1 + len(raw)) / (1 + seen)).astype(np.float32)
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    return np.asarray(weighted / np.maximum(lengths, 1e-12), np.float32)


def _recordings(raw: Ragged) -> Features:
    found = np.zeros((len(raw), 2 * BANDS), np.float32)
    for row in range(len(raw)):
        samples = raw.row(row).astype(np.float32) / 32768
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (0, max(0, 512 - len(samples)))), 512)[::256]
        power = np.abs(np.fft.rfft(frames * np.hanning(512), axis=1))[:, 1:] ** 2
        edges = np.unique(np.geomspace(1, power.shape[1], BANDS + 1).round().astype(np.int64)) - 1
        bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-8)
        found[row, : bands.shape[1]], found[row, BANDS : BANDS + bands.shape[1]] = bands.mean(axis=0), bands.std(axis=0)
    return found


FEATURES: Mapping[str, Callable[[Any], NDArray[Any]]] = {
    "vectors": _vectors,
    "image": _pictures,
    "text": _texts,
    "audio": _recordings,
}
"""What becomes of a raw column, by modality."""
