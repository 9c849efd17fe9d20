"""Vectors of words from what stands around them. Knows no objective.

Legend: `V` vocabulary, `D` width of a vector.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from app.ml.decomposition.factorisation import STEPS, Block, largest, leading
from app.ml.tensors.batch import Tell
from app.ml.tensors.padding import Packed
from app.ml.tensors.shapes import Tensors
from app.ml.tensors.threads import computing_with
from app.ml.text.spelling import Spell
from app.ml.words.cooccurrence import SMOOTHING, Cooccurrences, Pairs
from app.ml.words.vectors import WordVectors

Method = Literal["pmi", "laplacian"]

WINDOW, SUBSAMPLE = 5, 1e-4
COUNTING = 0.6
"""Share of the whole at which the pass over the texts ends."""
POWER = 0.5
"""Of the singular values. Chosen by WordNet's synonyms and siblings and by pairs of inflected words, for which it is
best of 0 to 0.5; words of the usual tests were left out."""
UNSEEN = 1.0
"""Nats below chance at which pairs are taken to stand that were never seen: of the seen ones, those below chance tell
something too. Chosen like `POWER`, of -0.7 to 3, on dictionaries, and better on manuals, too."""
RIDGE, ROUNDS = 0.01, 20
"""Of the fit of n-grams: what keeps those of a single word small, and steps of conjugate gradients."""
SAMPLE = 20_000
"""Texts that are kept to find what all have in common."""
PASSES_OF_LAPLACIAN = 20
"""Its eigenvalues lie close together, so that directions part slowly."""


def fit_words(
    words: WordVectors,
    texts: Callable[[], Iterator[Tensors]],
    tell: Tell,
    *,
    spell: Spell,
    method: Method,
    window: int,
    subsample: float,
) -> Tensor:
    """Fills `words` from the texts: one pass, memory bounded by the vocabulary and the number of different pairs.

    Gives how often they hold each known word [V]. All vectors are zero when no two different words stand together.
    """
    found = Cooccurrences(words.vocabulary, window=window, subsample=subsample)
    sample = Sample()
    read = 0
    with computing_with(1):  # beside the thread that counts
        for inputs in texts():
            found.add(inputs["values"], inputs["mask"])
            sample.add(inputs)
            read += len(inputs["values"])
            tell(COUNTING * (1 - 1 / (1 + read / 100_000)))
    solve = {"pmi": by_information, "laplacian": by_laplacian}[method]
    pairs, counts = found.result()
    words.set(solve(pairs, words.table.shape[1], tell), counts)
    if words.spelled:
        words.set_spelled(by_spelling(words, spell()))
    words.set_common(**sample.result())
    return counts


def by_information(pairs: Pairs, width: int, tell: Tell) -> Tensor:
    """Leading singular vectors [V, D] of shifted positive PMI with smoothed frequencies (Levy & Goldberg 2014).

    They are multiplied by `POWER` of their singular values: similarity asks for nearly equal weights, analogies for
    some difference (Levy, Goldberg & Dagan 2015).
    """
    if np.array_equal(pairs.first, pairs.second):
        return torch.zeros(pairs.vocabulary, width)
    matrix = pairs.matrix(pairs.information(SMOOTHING, UNSEEN))
    vectors, values = largest(matrix.product(_on(tell, 2 * STEPS * len(matrix.blocks))), pairs.vocabulary, width)
    return vectors * values**POWER


def by_laplacian(pairs: Pairs, width: int, tell: Tell) -> Tensor:
    """Vectors [V, D] that minimise the sum of a_ij |w_i - w_j|^2 with orthonormal columns (Belkin & Niyogi 2003).

    a_ij is the positive PMI of the words i and j; columns are orthonormal where every word counts by its degree. The
    leading solution has one vector for all words and is left out.
    """
    information = pairs.information(1.0)
    degrees = pairs.sums(information)
    scale = np.divide(1, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0).astype(np.float32)
    matrix = pairs.matrix(information * scale[pairs.first] * scale[pairs.second])
    multiply = matrix.product(_on(tell, PASSES_OF_LAPLACIAN * len(matrix.blocks)))
    connected = torch.from_numpy((degrees > 0).astype(np.float32))[:, None]
    # half of the identity beside it: then no eigenvalue is negative, and the order stays
    vectors, _ = leading(
        lambda basis: (multiply(basis) + basis * connected) / 2,
        pairs.vocabulary,
        width + 1,
        passes=PASSES_OF_LAPLACIAN,
    )
    return vectors[:, 1:] * torch.from_numpy(scale)[:, None]


def by_spelling(words: WordVectors, spellings: Mapping[int, Sequence[int]]) -> Tensor:
    """Vectors of n-grams [G, D] whose averages come close to the known words' vectors (Zhao, Mudgal & Liang 2018).

    `spellings` are the ids of the n-grams of each word's id. Least squares with a ridge, by conjugate gradients.
    """
    table = words.table[: words.vocabulary]
    lengths = table.norm(dim=1)
    known = [word for word in spellings if lengths[word] > 0]
    if not known:
        return torch.zeros(words.spelled, table.shape[1])
    usual = lengths[known].median()  # rare words have short vectors, and an unknown word is not to count for less
    rows = torch.repeat_interleave(torch.tensor([len(spellings[word]) for word in known]))
    grams = torch.tensor([gram - words.vocabulary for word in known for gram in spellings[word]])
    block = Block.of(rows, grams, 1 / torch.bincount(rows)[rows], len(known))
    side = block.transposed(words.spelled)
    found = torch.zeros(words.spelled, table.shape[1])
    left = side.times(normalize(table[known]) * usual)
    step, size = left, left.square().sum(0)
    for _ in range(ROUNDS):
        pushed = side.times(block.times(step)) + RIDGE * step
        rate = size / (step * pushed).sum(0).clamp(min=1e-30)
        found, left = found + rate * step, left - rate * pushed
        before, size = size, left.square().sum(0)
        step = left + size / before.clamp(min=1e-30) * step
    return found


def _on(tell: Tell, calls: int) -> Callable[[], None]:
    done = 0

    def on() -> None:
        nonlocal done
        done += 1
        tell(min(1.0, COUNTING + (1 - COUNTING) * done / calls))

    return on


class Sample:
    """Texts that stand for all, spread evenly: every second one is dropped whenever they are too many."""

    def __init__(self) -> None:
        self._kept: list[Packed] = []
        self._every, self._seen, self._held = 1, 0, 0

    def add(self, texts: Tensors) -> None:
        rows = torch.arange(-self._seen % self._every, len(texts["values"]), self._every)
        self._seen += len(texts["values"])
        if len(rows):
            self._kept.append(Packed.of({name: tensor[rows] for name, tensor in texts.items()}))
            self._held += len(rows)
        if self._held > SAMPLE:
            whole = Packed.joined(self._kept)
            self._kept = [Packed.of(whole.take(torch.arange(0, self._held, 2)))]
            self._every, self._held = 2 * self._every, len(self._kept[0].lengths)

    def result(self) -> Tensors:
        whole = Packed.joined(self._kept)
        return whole.take(torch.arange(len(whole.lengths)))
