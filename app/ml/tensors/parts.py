"""Rows computed in parts: what layers make of a part stays in a processor's cache.

Of more, a third of the time went into memory that was asked of the system at every layer. Legend: `N` rows.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from app.ml.tensors.padding import cuts, joined_answers, shortened
from app.ml.tensors.shapes import Tensors

PLACES, NUMBERS, MOST_ROWS = 2048, 2**18, 1024
"""A part has at most so many places of padded rows, or numbers of other ones, and so many rows."""
FEW_ROWS, MOST_NUMBERS = 16, 2**22
"""But so many rows if they have no more numbers than these: layers do less well with one row after the other."""

Ask = Callable[[Tensors], Tensor]


def answered(ask: Ask, inputs: Tensors, tick: Callable[[], None] = lambda: None) -> Tensor:
    """The answers [N, …] to inputs [N, …], of which those of one length are computed together; `tick` is called after
    every part."""
    order = None
    if "mask" in inputs:
        order = inputs["mask"].sum(1).argsort(stable=True)
        inputs = {name: tensor[order] for name, tensor in inputs.items()}
    answers = []
    for part in parts(inputs):
        answers.append(ask(part))
        tick()
    found = joined_answers(answers)
    return found if order is None else torch.empty_like(found).index_copy_(0, order, found)


def parts(inputs: Tensors) -> Iterator[Tensors]:
    """The rows in their order, part by part, without what is padding in all of a part: views."""
    if "mask" in inputs:
        ends = cuts(inputs["mask"].sum(1).clamp(min=1).tolist(), MOST_ROWS, PLACES)
    else:
        numbers = max(1, inputs["values"].shape[1:].numel())
        rows = min(MOST_ROWS, max(1, NUMBERS // numbers, min(FEW_ROWS, MOST_NUMBERS // numbers)))
        ends = ((begin, begin + rows) for begin in range(0, len(inputs["values"]), rows))
    for begin, end in ends:
        yield shortened({name: tensor[begin:end] for name, tensor in inputs.items()})
