"""Which rows of series are learned from where not all are held at once.

Legend: `R` rows.
"""

import torch
from torch import Tensor

from app.ml.tensors.batch import Stream

MOST_ROWS, MOST_NUMBERS = 20_000, 2**26


def spread(stream: Stream, role: str) -> Tensor:
    """Rows [R, …] of a role from the beginning to the end of the stream, equally far apart."""
    count = sum(len(batch.rows) for batch in stream())
    kept, seen = list[Tensor](), 0
    for batch in stream():
        values = batch.roles[role]["values"]
        most = max(1, min(MOST_ROWS, MOST_NUMBERS // values[0].numel()))
        apart = -(-count // most)
        kept.append(values[-seen % apart :: apart].clone())
        seen += len(values)
    return torch.cat(kept)
