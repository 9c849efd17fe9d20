"""A decoder that says on what it has begun, text by text: what beam search asks. Knows no encoder.

Legend: `B` batch, `K` beams, `D` width, `V` vocabulary.
"""

import math

from torch import Tensor, arange
from torch.nn.functional import log_softmax

from app.ml.translation.beam_search import Speaker
from app.ml.translation.decoder import KeysValues, Memory, TextDecoder
from app.ml.translation.vocabulary import Vocabulary


class Continuing(Speaker):
    """K texts for each of B others, and what the decoder needs to say of each what comes next."""

    def __init__(self, decoder: TextDecoder, memory: Memory, words: Vocabulary) -> None:
        self.decoder, self.memory, self.words = decoder, memory, words
        self.before: list[KeysValues] = []

    def following(self, tokens: Tensor) -> Tensor:
        following, self.before = self.decoder.step(self.words.read(tokens), self.memory, self.before)
        return log_softmax(self.words.scores(following), 2).masked_fill(self.words.never, -math.inf)

    def turn(self, parents: Tensor) -> None:
        rows, beams = parents.shape
        if beams > 1:
            self._keep((parents + beams * arange(rows, device=parents.device)[:, None]).flatten())

    def stay(self, rows: Tensor) -> None:
        beams = len(self.before[0][0]) // len(self.memory.mask)
        layers = [(keys[rows], values[rows]) for keys, values in self.memory.layers]
        self.memory = Memory(layers, self.memory.mask[rows])
        self._keep((beams * rows[:, None] + arange(beams, device=rows.device)).flatten())

    def _keep(self, places: Tensor) -> None:
        """Of the texts those at `places` alone, in this order."""
        self.before = [(keys[places], values[places]) for keys, values in self.before]
