"""Averages of word vectors."""

import torch

from app.ml.text.tokenization import UNKNOWN
from app.ml.words.vectors import WordVectors


def test_ids_that_begin_with_n_grams_are_answered_alone() -> None:
    """As a client may give them: the unknown word that they seem to spell is the row's before."""
    vectors = WordVectors(12, 4, spelled=8)
    values = torch.tensor([[5, UNKNOWN, 12, 13], [14, 15, 6, 0]])
    together = vectors(values, values > 0)
    for row, wanted in zip(values, together, strict=True):
        torch.testing.assert_close(vectors(row[None], row[None] > 0)[0], wanted)
