"""How embeddings lie in their space: figures that need no labels.

Legend: `N` rows, `E` width of the embedding.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

ROWS = 2000
"""Rows that are looked at."""


def effective_rank(embeddings: Tensor) -> float:
    """How many dimensions embeddings [N, E] use: the exponential of the entropy of their spectrum.

    RankMe (Garrido 2022); 1 when all lie on a line, at most E. Small values tell of a collapse.
    """
    sizes = torch.linalg.svdvals(embeddings.double())
    shares = sizes / sizes.sum().clamp(min=1e-300)
    return float((-(shares * shares.clamp(min=1e-300).log()).sum()).exp())


def uniformity(embeddings: Tensor) -> float:
    """Log of the mean Gaussian potential of pairs of `embeddings` scaled to length 1 (Wang & Isola 2020).

    0 when all are one point, about -4 at best; 0 of a single row.
    """
    if len(embeddings) < 2:
        return 0.0
    apart = torch.pdist(normalize(embeddings))
    return float(apart.square().mul(-2).exp().mean().log())
