"""Whether the split that judges looks like the one that is learned from (two-sample test of Kolmogorov & Smirnov)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.profile.sample import Features, Sample

FEWEST = 50
CERTAIN = 1e-3
"""Chance of a false alarm in a whole data set."""
LEAST = 0.1
"""Distance of two distributions below which a difference, however certain, is not worth a word."""
PARTS = 8
LISTED = 10


def drift(train: Sample, other: Sample, names: list[str] | None) -> dict[str, Any] | None:
    """The columns of tables, of all else the principal components, that are distributed otherwise; None of few rows."""
    if min(len(train), len(other)) < FEWEST:
        return None
    one, two = train.features, other.features
    if names is None or len(names) != one.shape[1]:
        one, two = _principal(one, two)
        names = [f"principal component {number + 1}" for number in range(one.shape[1])]
    distances = distance(one, two)
    bound = max(LEAST, threshold(len(one), len(two), CERTAIN / len(names)))
    found = [place for place in np.argsort(-distances, kind="stable") if distances[place] > bound]
    listed = [{"name": names[place], "distance": round(float(distances[place]), 4)} for place in found[:LISTED]]
    labels = _labels(train, other)
    return {
        "sampled_rows": [len(one), len(two)],
        "largest_distance": round(float(distances.max()), 4),
        "threshold": round(bound, 4),
        "columns": listed,
        **({"labels": labels} if labels is not None else {}),
    }


def distance(one: Features, two: Features) -> NDArray[np.float64]:
    """[F] largest difference of the cumulated shares, 0 to 1, of every column of [n, F] and [m, F]."""
    found = np.empty(one.shape[1])
    for place in range(one.shape[1]):
        left, right = np.sort(one[:, place]), np.sort(two[:, place])
        both = np.concatenate([left, right])
        shares = np.searchsorted(left, both, "right") / len(left) - np.searchsorted(right, both, "right") / len(right)
        found[place] = np.abs(shares).max()
    return found


def threshold(rows: int, others: int, chance: float) -> float:
    """The distance that equal distributions exceed with that chance, for large samples."""
    return float(np.sqrt(-np.log(chance / 2) / 2 * (rows + others) / (rows * others)))


def _principal(one: Features, two: Features) -> tuple[Features, Features]:
    """Both in the directions in which `one` varies most, by randomised SVD (Halko 2011)."""
    mean = one.mean(axis=0)
    centred = one - mean
    sketch = centred @ np.random.default_rng(0).normal(size=(one.shape[1], 2 * PARTS)).astype(np.float32)
    basis = np.linalg.qr(centred @ (centred.T @ sketch))[0]
    directions = np.linalg.svd(basis.T @ centred, full_matrices=False)[2][:PARTS].T
    return centred @ directions, (two - mean) @ directions


def _labels(train: Sample, other: Sample) -> float | None:
    """Half the sum of the differences of the classes' shares: 0 for equal shares, 1 for disjoint classes."""
    shares = []
    names = sorted({str(label) for label in [*train.labels, *other.labels] if label is not None})
    for sample in (train, other):
        known = [str(label) for label in sample.labels if label is not None]
        if not known:
            return None
        shares.append(np.array([known.count(name) for name in names]) / len(known))
    return round(float(np.abs(shares[0] - shares[1]).sum() / 2), 4)
