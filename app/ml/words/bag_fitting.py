"""Learns which pairs of words occur, how rare words and pairs are, and a vector for each by SVD. Knows no objective.

Legend: `L` tokens, `V` vocabulary, `P` pairs, `F` features: V + 1 + P, `D` width of a vector.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from app.ml.decomposition.factorisation import BLOCK_ENTRIES, PASSES, Block, Sparse, leading, merged
from app.ml.tensors.batch import Tell
from app.ml.tensors.shapes import Tensors
from app.ml.text.spelling import Spell
from app.ml.words.bag_spelling import Spelling
from app.ml.words.bags import Bags, Occurrences
from app.ml.words.counting import Tally

MOST_PAIRS = 100_000
"""The most frequent pairs that are features of their own."""
PAIR = 0.5
"""Weight of a pair beside a word as rare: its words have told most of what it tells. Two letters of a script without
spaces weigh in full: most words there are pairs, and letters tell little of them."""
COUNTED_PAIRS = 20_000_000
"""Different pairs that are counted exactly; beyond them the rarest are forgotten."""
FEWEST = 2
"""Texts that hold a pair at least."""
MOST_ENTRIES = 40_000_000
"""Features of texts that the vectors are computed from (1.3 GB): beyond them, every second text, every third …"""
COUNTING, GATHERING = 0.3, 0.6
"""Shares of the whole at which the two passes over the texts end."""


def fit_bags(
    bags: Bags,
    texts: Callable[[], Iterator[Tensors]],
    tell: Tell,
    *,
    letters: Tensor,
    spell: Spell | None = None,
) -> None:
    """Fills `bags` from texts, which `texts` gives from the beginning at every call. Two passes, bounded memory.

    `letters` [V] bool are the words that are single letters of a script without spaces. `spell` gives the n-grams of
    the others, where their vectors shall take in those of their n-grams.
    """
    width, vocabulary = bags.table.shape[1], bags.vocabulary
    counts = Counts(vocabulary)
    for inputs in texts():
        counts.add(inputs["values"], inputs["mask"])
        tell(COUNTING * (1 - 1 / (1 + counts.texts / 100_000)))
    pairs, holding = counts.result()
    rarity = 1 + torch.log((1 + counts.texts) / (1 + holding))
    spelled = letters[pairs // vocabulary] & letters[pairs % vocabulary]
    rarity[vocabulary + 1 :] *= torch.where(spelled, 1, PAIR)
    bags.set(pairs, rarity, torch.zeros(len(rarity), width))
    matrix = gather(bags, texts, counts, tell)
    alone = letters.tolist()
    spelling = Spelling.of(
        {} if spell is None else {word: grams for word, grams in spell().items() if not alone[word]},
        holding[:vocabulary],
        rarity[:vocabulary],
        counts.texts,
    )
    share = GATHERING

    def on() -> None:
        nonlocal share
        share += (1 - GATHERING) / (PASSES * len(matrix.blocks))
        tell(min(share, 1.0))

    vectors, _ = leading(spelling.around(matrix.gram(on)), len(rarity) + spelling.count, width)
    bags.set(pairs, rarity, spelling.spread(vectors))


def gather(bags: Bags, texts: Callable[[], Iterator[Tensors]], counts: "Counts", tell: Tell) -> Sparse:
    """The weighted features of the texts, or of evenly chosen ones where all would be too many."""
    every = -(-counts.entries // MOST_ENTRIES)
    matrix = Sparse(len(bags.rarity))
    waiting: list[Block] = []
    seen = 0
    for inputs in texts():
        rows = torch.arange(-seen % every, len(inputs["values"]), every)
        seen += len(inputs["values"])
        waiting.append(bags.features(inputs["values"][rows], inputs["mask"][rows]))
        if sum(len(block.values) for block in waiting) >= BLOCK_ENTRIES:
            matrix.add(merged(waiting))
            waiting = []
        tell(COUNTING + (GATHERING - COUNTING) * seen / counts.texts)
    if waiting:
        matrix.add(merged(waiting))
    return matrix


class Counts:
    """How many texts hold each word and each pair."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.texts = 0
        self.entries = 0
        """Different words and pairs of each text, of all texts together."""
        self._words = np.zeros(vocabulary, np.int64)
        self._pairs = Tally(COUNTED_PAIRS)

    def add(self, values: Tensor, mask: Tensor) -> None:
        """Of texts [B, L]."""
        self.texts += len(values)
        found, vocabulary = Occurrences.of(values, mask, self.vocabulary), self.vocabulary
        words = np.unique(found.rows * vocabulary + found.words) % vocabulary
        self._words += np.bincount(words, minlength=vocabulary)
        rows, pairs = found.pairs()
        pairs = np.unique(rows * vocabulary**2 + pairs) % vocabulary**2
        self._pairs.add(pairs)
        self.entries += len(words) + len(pairs)

    def result(self) -> tuple[Tensor, Tensor]:
        """The pairs worth knowing [P], ascending, and how many texts hold each feature [F]."""
        keys, sums = self._pairs.result()
        chosen = np.flatnonzero(sums >= FEWEST)
        if len(chosen) > MOST_PAIRS:
            chosen = np.sort(chosen[np.argsort(-sums[chosen], kind="stable")[:MOST_PAIRS]])
        holding = np.concatenate([self._words, np.zeros(1, np.float32), sums[chosen]])
        return torch.from_numpy(keys[chosen]), torch.from_numpy(holding.astype(np.float32))
