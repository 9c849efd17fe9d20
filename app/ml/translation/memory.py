"""What pairs of texts tell of a new one without learning: the target of the source that is most like it.

Knows no network.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 2, 4
"""Letters of the n-grams by which sources are compared."""


class TranslationMemory:
    """Sources by the n-grams of their letters, weighted by how rare they are (TF-IDF), and their targets."""

    def __init__(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        self.targets = targets
        counted = [Counter(_grams(text)) for text in sources]
        found: dict[str, list[int]] = {}
        for row, counts in enumerate(counted):
            for gram in counts:
                found.setdefault(gram, []).append(row)
        self.rarity = {gram: math.log((1 + len(sources)) / (1 + len(rows))) + 1 for gram, rows in found.items()}
        lengths = [math.hypot(*(n * self.rarity[g] for g, n in counts.items())) or 1.0 for counts in counted]
        self.rows: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {
            gram: (np.array(rows), np.array([counted[row][gram] / lengths[row] for row in rows]) * self.rarity[gram])
            for gram, rows in found.items()
        }
        """Of each n-gram the sources that hold it, and its share of their length."""

    def nearest(self, source: str) -> str:
        """The target of the source whose cosine is highest; of the first of those that are alike."""
        likeness = np.zeros(len(self.targets))
        for gram, count in Counter(_grams(source)).items():
            if gram in self.rows:
                rows, weights = self.rows[gram]
                likeness[rows] += count * self.rarity[gram] * weights
        return self.targets[int(likeness.argmax())]


def _grams(text: str) -> list[str]:
    marked = f" {' '.join(text.lower().split())} "
    return [marked[at : at + n] for n in range(SHORTEST, LONGEST + 1) for at in range(len(marked) - n + 1)]
