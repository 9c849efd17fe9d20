"""Drawing an item from a code, and how far the drawing is from the item: for numbers, and for words.

Legend: `B` batch, `L` tokens, `V` vocabulary, `E` width of the code.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.ml.objectives.parts.squares import mean_squares
from app.ml.tensors.shapes import Shape, Tensors


def drawing(decoder: nn.Module, code: Tensor, inputs: Tensors, shape: Shape) -> Tensor:
    """What `decoder` makes of codes [B, E]: unbounded values [B, *shape.size], or scores [B, L, V] of the words at each
    place."""
    drawn: Tensor = decoder(code, inputs["values"].shape[1]) if shape.layout == "tokens" else decoder(code).float()
    return drawn


def bounded(values: Tensor, shape: Shape) -> Tensor:
    """Unbounded values in float32, brought to [0, 1] where the item's are; scores of words as they are."""
    if shape.layout == "tokens":
        return values
    return values.float().sigmoid() if shape.bounded else values.float()


def misses(drawn: Tensor, inputs: Tensors, shape: Shape) -> Tensor:
    """`errors` [B] of what `drawing` gives once it is `bounded`, in fewer passes over memory than one by one."""
    return mean_squares(drawn, inputs["values"], bounded=True) if shape.bounded else errors(drawn, inputs)


def errors(drawn: Tensor, inputs: Tensors, where: Tensor | None = None) -> Tensor:
    """Mean error [B] of each item: squared for numbers, cross-entropy in nats for words; padding does not count.

    `where` (bool, like `values`) restricts the mean to a part of each item.
    """
    values = inputs["values"]
    if values.is_floating_point():
        if where is None:
            return mean_squares(drawn, values)
        each = (drawn - values).square()
    else:
        each = cross_entropy(drawn.float().transpose(1, 2), values, reduction="none")  # [B, L]
        where = real(inputs) if where is None else where & real(inputs)
    return (each * where).flatten(1).sum(1) / where.flatten(1).sum(1).clamp(min=1)


def real(inputs: Tensors) -> Tensor:
    """Which tokens [B, L] are not padding."""
    mask = inputs.get("mask")
    return mask if mask is not None else torch.ones_like(inputs["values"], dtype=torch.bool)


def rendered(drawn: Tensor, inputs: Tensors) -> Tensor:
    """What a drawing shows: its values, or the likeliest word at each place [B, L]; padding stays as it came."""
    values = inputs["values"]
    return drawn if values.is_floating_point() else drawn.argmax(2).where(real(inputs), values)


def measures(drawings: Iterable[tuple[Tensor, Tensors, Tensor | None]]) -> dict[str, float]:
    """Held-out metrics of drawings, their items and the part that counts.

    `mse` for numbers; for words `perplexity` (the exponential of the mean cross-entropy per word) and `token_accuracy`.
    """
    total, right, count, words = 0.0, 0, 0, False
    for drawn, inputs, where in drawings:
        each = errors(drawn, inputs, where)
        words = not inputs["values"].is_floating_point()
        if words:
            counted = real(inputs) if where is None else where & real(inputs)
            total += (each * counted.sum(1)).sum().item()
            right += int(((drawn.argmax(2) == inputs["values"]) & counted).sum())
            count += int(counted.sum())
        else:
            total, count = total + each.sum().item(), count + len(each)
    mean = total / max(1, count)
    return (
        {"perplexity": math.exp(min(mean, 80.0)), "token_accuracy": right / max(1, count)} if words else {"mse": mean}
    )
