"""A decoder that says on what it has begun, text by text: what beam search asks. Knows no encoder.

Legend: `B` batch, `K` beams, `D` width, `V` vocabulary.
"""

import math
from collections.abc import Callable

from torch import Tensor, arange
from torch.nn.functional import embedding, log_softmax

from app.ml.translation.beam_search import Speaker
from app.ml.translation.decoder import KeysValues, Memory, TextDecoder


class Continuing(Speaker):
    """K texts for each of B others, and what the decoder needs to say of each what comes next."""

    def __init__(
        self, decoder: TextDecoder, memory: Memory, words: Tensor, scores: Callable[[Tensor], Tensor], never: Tensor
    ) -> None:
        """`words` [V, D] are their vectors, `scores` gives [B, K, V] of [B, K, D], `never` [V] what is never said."""
        self.decoder, self.memory, self.words, self.scores, self.never = decoder, memory, words, scores, never
        self.before: list[KeysValues] = []

    def following(self, tokens: Tensor) -> Tensor:
        following, self.before = self.decoder.step(embedding(tokens, self.words), self.memory, self.before)
        return log_softmax(self.scores(following), 2).masked_fill(self.never, -math.inf)

    def turn(self, parents: Tensor) -> None:
        rows, beams = parents.shape
        places = (parents + beams * arange(rows, device=parents.device)[:, None]).flatten()
        self.before = [(keys[places], values[places]) for keys, values in self.before]
