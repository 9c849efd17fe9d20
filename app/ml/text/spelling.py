"""Words as the character n-grams that they are made of (Bojanowski 2017), for words beyond a vocabulary."""

import functools
from collections.abc import Callable, Mapping, Sequence
from zlib import crc32

SHORTEST, LONGEST = 3, 6
MOST_LETTERS = 40
"""Of a word that are looked at."""

Spell = Callable[[], Mapping[int, Sequence[int]]]
"""Ids of the n-grams of every known word's id; they lie beyond those of the words."""


@functools.lru_cache(maxsize=200_000)
def spelled(word: str, buckets: int) -> tuple[int, ...]:
    """Different n-grams of a word between its bounds, each as the number of its bucket."""
    marked = f"<{word[:MOST_LETTERS]}>"
    grams = {
        marked[start : start + length]
        for length in range(SHORTEST, LONGEST + 1)
        for start in range(max(1, len(marked) - length + 1))
    }
    return tuple(sorted({crc32(gram.encode("utf-8", "surrogatepass")) % buckets for gram in grams}))
