"""Which rows of series are learned from where not all are held at once.

Legend: `R` rows.
"""

import torch
from torch import Tensor

from app.ml.tensors.batch import Stream

MOST_ROWS, MOST_NUMBERS = 20_000, 2**26


def spread(stream: Stream, role: str) -> Tensor:
    """Rows [R, …] of a role from the beginning to the end of the stream, equally far apart."""
    first = next(stream(1))
    most = max(1, min(MOST_ROWS, MOST_NUMBERS // first.roles[role]["values"][0].numel()))
    return torch.cat([batch.roles[role]["values"] for batch in stream(most)])
