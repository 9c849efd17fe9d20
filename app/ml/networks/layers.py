"""Layers with explicitly chosen first weights, drawn from torch's global random state. Knows no encoder."""

import math

from torch import nn

RECTIFIED = math.sqrt(2)
"""Gain that keeps a signal's size through ReLU and its smooth relatives (He 2015)."""


def linear(inputs: int, outputs: int) -> nn.Linear:
    """For a layer that a normalisation follows, or nothing: weights and biases of like size, 1 / sqrt(3 · inputs).

    A normalisation makes x and 2x the same unless biases stand beside them. With biases of zero an autoencoder with
    normalisation ended a tenth higher.
    """
    layer = nn.Linear(inputs, outputs)
    bound = 1 / math.sqrt(inputs)
    nn.init.normal_(layer.weight, std=bound / math.sqrt(3))
    nn.init.uniform_(layer.bias, -bound, bound)
    return layer


def activated(inputs: int, outputs: int, gain: float = RECTIFIED) -> nn.Linear:
    """For a layer that an activation follows at once: weights of deviation gain / sqrt(inputs), biases of zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    nn.init.zeros_(layer.bias)
    return layer


def convolution(
    inputs: int,
    outputs: int,
    *,
    side: int = 3,
    stride: int = 1,
    gain: float = RECTIFIED,
    bias: bool = False,
    along: bool = False,
) -> nn.Conv2d:
    """`side` is odd; a border of zeros keeps the size at stride 1 and halves it (rounding up) at stride 2.

    `along` goes over the columns of a map alone: one-dimensional, for maps of one row.
    """
    high, down = (1, 1) if along else (side, stride)
    layer = nn.Conv2d(inputs, outputs, (high, side), (down, stride), (high // 2, side // 2), bias=bias)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(high * side * inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normalisation(channels: int) -> nn.GroupNorm:
    """Group normalisation (Wu & He 2018) in up to 8 groups: an item never depends on its neighbours in the batch."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


def silence(network: nn.Module) -> None:
    """Sets the network's last layer to zero, so that it begins by answering 0 whatever it is given."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)
