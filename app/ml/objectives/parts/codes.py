"""Defaults of objectives that squeeze a whole item into one code and draw it again from there."""

import math

from app.ml.tensors.shapes import Shape

WIDEST = 64
"""Width of the code beyond which a default does not go."""
WIDEST_OF_TEXT = 256


def narrow(shape: Shape) -> int | None:
    """Half as many numbers as the item has, up to `WIDEST`: narrow enough that copying the item is impossible."""
    if shape.layout == "tokens":  # a word is more than a number
        return WIDEST_OF_TEXT
    return min(WIDEST, math.ceil(shape.count / 2))


def flat_encoder(shape: Shape) -> tuple[str, str]:
    """The encoder for a whole item to be drawn again from one code."""
    if shape.layout == "tokens":
        return "rnn", "words come one after the other"
    if shape.layout == "grid" and max(shape.size[1:]) > 32:
        return "cnn", "pictures beyond 32 pixels have too many numbers for full connections"
    return "mlp", "every value has to be drawn again from one code, whose layers see all places at once"
