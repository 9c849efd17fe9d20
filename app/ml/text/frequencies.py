"""How frequent tokens are: what a model may say of any place of a text before it has learned anything.

Legend: `V` vocabulary.
"""

import torch
from torch import Tensor

from app.ml.tensors.batch import Stream
from app.ml.text.tokenization import END

UNSEEN = 0.5
"""Added to every count: a token that no training text holds is rare, not impossible."""


def log_frequencies(stream: Stream, vocabulary: int, *, ends: bool = False) -> Tensor:
    """[V] of the inputs' tokens, `ends` of texts among them where asked."""
    counts = torch.zeros(vocabulary, dtype=torch.int64)
    for batch in stream():
        inputs = batch.roles["input"]
        counts += torch.bincount(inputs["values"][inputs["mask"]], minlength=vocabulary)
        counts[END] += len(inputs["mask"]) * ends
    return logs_of(counts)


def logs_of(counts: Tensor) -> Tensor:
    """Of counts [V], the logarithms of their shares."""
    seen = counts.double() + UNSEEN
    return (seen / seen.sum()).log()
