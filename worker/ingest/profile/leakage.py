"""Columns or words that give the label or the value away: what no model should have to be trained for."""

import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from worker.ingest.profile.sample import Sample

FEWEST = 100
PERFECT = 0.99
"""Share of held-out rows that one column alone predicts, from which on it is suspicious."""
DULL = 0.9
"""Share of the commonest class beyond which nobody can tell."""
BINS = 32
WORD = re.compile(r"\w+")


def leaks(sample: Sample, names: list[str] | None) -> list[dict[str, Any]]:
    """Columns of a table, or words of a text, that predict the label of rows they were not chosen on.

    Where a number is to be told: columns that put the rows in its order, or in the reverse.
    """
    if sample.modality == "vectors" and np.isfinite(sample.values).sum() >= FEWEST and _are_of(sample, names):
        return _ordering(sample, names or [])
    rows = np.flatnonzero(sample.labelled)
    labels, codes = np.unique(sample.labels[rows].astype(str), return_inverse=True)
    if len(rows) < FEWEST or len(labels) < 2 or np.bincount(codes).max() > DULL * len(rows):
        return []
    if sample.modality == "text":
        return _words([str(sample.raw[row]) for row in rows], codes, [str(label) for label in labels])
    if sample.modality != "vectors" or names is None or not _are_of(sample, names):
        return []
    half = np.arange(len(rows)) % 2 == 0
    found = []
    for place, name in zip(sample.columns, names, strict=True):
        bins = _bins(sample.raw[rows, place], half)
        votes = np.zeros((bins.max() + 1, len(labels)), np.int64)
        np.add.at(votes, (bins[half], codes[half]), 1)
        right = float((votes.argmax(axis=1)[bins[~half]] == codes[~half]).mean())
        if right >= PERFECT:
            found.append({"column": name, "accuracy": round(right, 4)})
    return found


def _bins(values: Any, half: Any) -> Any:
    """Of each value, by the quantiles of `half`: one for gaps, and one for every value of many rows, such as 0."""
    there = np.isfinite(values)
    if not (there & half).any():
        return there.astype(np.int64)
    quantiles = np.quantile(values[there & half], np.linspace(0, 1, BINS + 1)[1:-1]).astype(values.dtype)
    edges = np.unique([quantiles, np.nextafter(quantiles, np.inf, dtype=values.dtype)])
    return np.where(there, np.searchsorted(edges, values, "right") + 1, 0)


def _are_of(sample: Sample, names: list[str] | None) -> bool:
    return names is not None and len(names) == sample.features.shape[1]


def _ordering(sample: Sample, names: list[str]) -> list[dict[str, Any]]:
    """Columns whose rank correlation with the value is nearly 1 (Spearman 1904)."""
    there = np.isfinite(sample.values)
    value = _ranks(sample.values[there])
    found = []
    for place, name in enumerate(names):
        column = _ranks(sample.features[there, place])
        scale = float(np.sqrt((column**2).sum() * (value**2).sum()))
        alike = abs(float(column @ value)) / scale if scale else 0.0
        if alike >= PERFECT:
            found.append({"column": name, "rank_correlation": round(alike, 4)})
    return found


def _ranks(values: Any) -> Any:
    """Of each value among all, equal ones sharing theirs, around 0."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + len(values)) / 2)[place]


def _words(texts: list[str], codes: Any, labels: list[str]) -> list[dict[str, Any]]:
    """Words that stand in nearly all texts of one class and in nearly none of the others."""
    seen: dict[str, Counter[int]] = defaultdict(Counter)
    for text, code in zip(texts, codes.tolist(), strict=True):
        for word in set(WORD.findall(text.casefold())):
            seen[word][code] += 1
    sizes = np.bincount(codes, minlength=len(labels))
    found = []
    for word, counts in seen.items():
        code, number = counts.most_common(1)[0]
        if number >= PERFECT * counts.total() and number >= PERFECT * sizes[code] and sizes[code] >= FEWEST / 10:
            found.append({"column": word, "label": labels[code], "accuracy": round(number / counts.total(), 4)})
    return sorted(found, key=lambda leak: str(leak["column"]))[:20]
