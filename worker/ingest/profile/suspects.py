"""Labels that may be wrong: rows whose nearest neighbours nearly all have another one (Wilson 1972)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.ingest.profile.sample import Features, Sample, scaled

NEIGHBOURS = 10
OTHER = 0.8
"""Share of the neighbours that agree on another label, from which on a row is a suspect."""
FEWEST = 50
LISTED = 20
CHUNK = 512


def suspects(sample: Sample) -> dict[str, Any] | None:
    """How many labelled rows of a sample disagree with their neighbours, and the first of them; None of too few."""
    rows = np.flatnonzero(sample.labelled)
    names, codes = np.unique(sample.labels[rows].astype(str), return_inverse=True)
    if len(rows) < FEWEST or len(names) < 2:
        return None
    near = nearest(sample.features[rows], sample.modality)
    votes = np.zeros((len(rows), len(names)), np.int64)
    np.add.at(votes, (np.arange(len(rows))[:, None], codes[near]), 1)
    own = votes[np.arange(len(rows)), codes] / near.shape[1]
    best = votes.argmax(axis=1)
    wrong = np.flatnonzero((votes.max(axis=1) >= OTHER * near.shape[1]) & (best != codes) & (own <= 1 - OTHER))
    worst = wrong[np.argsort(own[wrong], kind="stable")][:LISTED]
    return {
        "sampled_rows": len(rows),
        "suspects": len(wrong),
        "share": len(wrong) / len(rows),
        "agreement": float((best == codes).mean()),
        "rows": [
            {
                "row": int(sample.rows[rows[place]]),
                "label": str(names[codes[place]]),
                "neighbours_say": str(names[best[place]]),
                "share": float(votes[place].max() / near.shape[1]),
            }
            for place in worst
        ],
    }


def nearest(features: Features, modality: str) -> NDArray[np.int64]:
    """[n, k] positions of every row's nearest other rows; columns of tables count alike, pixels as they are."""
    values = scaled(features, features)[0] if modality in ("vectors", "audio") else features - features.mean(axis=0)
    squares = np.einsum("nf,nf->n", values, values)
    count = min(NEIGHBOURS, len(values) - 1)
    found = np.empty((len(values), count), np.int64)
    for start in range(0, len(values), CHUNK):
        stop = min(start + CHUNK, len(values))
        distances = squares[None, :] - 2 * values[start:stop] @ values.T
        distances[np.arange(stop - start), np.arange(start, stop)] = np.inf
        found[start:stop] = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return found
