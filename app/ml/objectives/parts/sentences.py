"""Fills encoders of sentences from texts: by word vectors, and by TF-IDF with SVD."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from app.ml.encoders.sentences import SentenceEncoder
from app.ml.modalities.text import FittedText
from app.ml.tensors.batch import Tell
from app.ml.tensors.shapes import Tensors
from app.ml.words.bag_fitting import fit_bags
from app.ml.words.vector_fitting import SUBSAMPLE, WINDOW, fit_words

READ: Mapping[str, Any] = {"tokenizer": "words", "max_length": 8192, "ngrams": 32_768}
"""How such encoders read texts."""
ENOUGH_WORDS = 100_000
"""Words of text from which on averages count as much as TF-IDF. Vectors learned from fewer say less: of 500 texts,
neighbours by averages at full length told two points less of tweets (8,600 words), and two more of news (128,000)."""

OF_LETTERS = 0.5
"""How much averages of letters count for, where words have no spaces between them, beside averages of words. A letter
says less than a word. Chosen on two splits of 3,000 Chinese reviews; four more splits showed no difference."""


@torch.no_grad()
def fit_sentences(
    encoder: SentenceEncoder, text: FittedText, texts: Callable[[], Iterator[Tensors]], tell: Tell
) -> None:
    """Computes both parts of the encoder, on the CPU; `text` is how the texts were read."""

    def of_words(share: float) -> None:
        tell(share / 2)

    counts = fit_words(
        encoder.words, texts, of_words, spell=text.spellings, method="pmi", window=WINDOW, subsample=SUBSAMPLE
    )
    letters = text.letters()
    encoder.trust.fill_(trusted(counts, letters))
    spell = text.spellings if encoder.words.spelled else None
    fit_bags(encoder.bags, texts, lambda share: tell((1 + share) / 2), letters=letters, spell=spell)


def trusted(counts: Tensor, letters: Tensor) -> float:
    """Length of averages beside TF-IDF, from how often each word was read [V] and which are single letters [V]."""
    read, alone = float(counts.sum()), float(counts[letters].sum())
    enough: float = min(1.0, read / ENOUGH_WORDS) ** 0.5
    return enough * (1 - (1 - OF_LETTERS) * alone / max(read, 1.0))
