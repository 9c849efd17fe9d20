"""Recurrent layers as a graph holds them: step after step, for all items alike.

Legend: `B` batch, `L` steps, `C` numbers of a step, `D` width of the states.
"""

from typing import Any

import torch
from torch import Tensor, nn

HELD = 1e4
"""What a gate hears of an end: by that it is open or shut, to the last digit."""
KEEP = {nn.GRU: (0.0, HELD, 0.0), nn.LSTM: (-HELD, HELD, 0.0, 0.0)}
"""That every gate, in the order of the weights, has to hear for a state to stay as it is."""


def unrolled(layers: nn.GRU | nn.LSTM, steps: Tensor, gone: Tensor | None = None) -> Tensor:
    """States [L, B, D] after steps [L, B, C]; `gone` [L, B, 1] is 1 behind an item's end, and else 0.

    There a state stays as it is, so that the way back comes to the end with nothing, as if it began there.
    """
    compute, ways = (torch.gru if isinstance(layers, nn.GRU) else torch.lstm), 1 + layers.bidirectional
    nothing = steps.new_zeros(ways, steps.shape[1], layers.hidden_size)
    start: Any = nothing if isinstance(layers, nn.GRU) else (nothing, nothing)
    for first in range(0, ways * layers.num_layers, ways):
        weights: list[Tensor] = [weight for way in layers.all_weights[first : first + ways] for weight in way]
        if gone is not None:
            steps = torch.cat([steps, gone], 2)
            hear = steps.new_tensor(KEEP[type(layers)]).repeat_interleave(layers.hidden_size)[:, None]
            weights[::4] = [torch.cat([weight, hear], 1) for weight in weights[::4]]  # those of the inputs
        steps = compute(steps, start, weights, True, 1, 0.0, False, layers.bidirectional, False)[0]
    return steps
