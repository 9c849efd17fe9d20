"""chrF: how much of two texts is the same, letter by letter (Popovic 2015). Knows no network."""

from collections import Counter
from collections.abc import Iterable

LONGEST, RECALL = 6, 2
"""Letters of an n-gram at most; how much more a missing n-gram counts than one too many (chrF2)."""


def chrf(pairs: Iterable[tuple[str, str]]) -> float:
    """Of texts and what they should be, in [0, 1]: the F-score of their character n-grams, all pairs together.

    Precision and recall are means over n from 1 to 6, as far as there are such n-grams; white space does not count.
    What `sacrebleu` calls chrF2, over 100.
    """
    made, wanted, shared = ([0] * LONGEST for _ in range(3))
    for text, reference in pairs:
        for place, (own, told) in enumerate(zip(grams(text), grams(reference), strict=True)):
            made[place] += own.total()
            wanted[place] += told.total()
            shared[place] += (own & told).total()
    counted = [place for place in range(LONGEST) if made[place] and wanted[place]]
    if not any(shared):
        return 0.0
    precision = sum(shared[place] / made[place] for place in counted) / len(counted)
    recall = sum(shared[place] / wanted[place] for place in counted) / len(counted)
    return (1 + RECALL**2) * precision * recall / (RECALL**2 * precision + recall)


def grams(text: str) -> list[Counter[str]]:
    """How often each run of 1, 2 … letters stands in a text."""
    letters = "".join(text.split())
    return [Counter(letters[first : first + n] for first in range(len(letters) - n + 1)) for n in range(1, LONGEST + 1)]
