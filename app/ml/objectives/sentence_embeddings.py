"""Texts by what they are about and by the words they hold: frequency-weighted averages of word vectors (Arora 2017)
beside TF-IDF with SVD (Deerwester 1990) of words and the n-grams that spell them. Each sees what the other misses.

Legend: `B` batch, `E` width of the embedding.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from app.ml.encoders.sentences import SentenceEncoder, averaged
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.words.bag_fitting import fit_bags
from app.ml.words.vector_fitting import SUBSAMPLE, WINDOW, fit_words

ENOUGH_WORDS = 100_000
"""Words of text from which on averages count as much as TF-IDF. Vectors learned from fewer say less: of 500 texts,
neighbours by averages at full length told two points less of tweets (8,600 words), and two more of news (128,000)."""

OF_LETTERS = 0.5
"""How much averages of letters count for, where words have no spaces between them, beside averages of words. A letter
says less than a word. Chosen on two splits of 3,000 Chinese reviews; four more splits showed no difference."""


class SentenceEmbeddings(SolvedSettings):
    """Texts as averages of word vectors beside TF-IDF with SVD of words, pairs of words and n-grams of letters;
    computed, without steps. Learns from texts without labels. Vectors have length 1; in the averages, a word beyond the
    vocabulary is spelled by its n-grams."""

    name: Literal["sentence_embeddings"] = "sentence_embeddings"
    """Averages of word vectors beside TF-IDF."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"tokens"}), True, frozenset({"sentences"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    modality_defaults: ClassVar[Mapping[str, Any]] = {"tokenizer": "words", "max_length": 8192, "ngrams": 32_768}

    @property
    def shortest(self) -> int | None:
        return 2  # one number of each part

    def default_encoder(self, shape: Shape) -> tuple[str, str]:
        return "sentences", "it holds vectors of words and pairs of words"

    def build(self, roles: Mapping[str, Role]) -> "SentenceNetwork":
        return SentenceNetwork(roles["input"])


class SentenceNetwork(Solved):
    """Nothing but its encoder."""

    unit = True

    def __init__(self, role: Role) -> None:
        super().__init__()
        assert isinstance(role.encoder, SentenceEncoder)
        self.encoders = nn.ModuleDict({"input": role.encoder})
        assert isinstance(role.modality, FittedText)
        self.spell, self.letters = role.modality.spellings, role.modality.letters
        self.code = role.dimensions or role.encoder.width

    @property
    def encoder(self) -> SentenceEncoder:
        encoder = self.encoders["input"]
        assert isinstance(encoder, SentenceEncoder)
        return encoder

    def embed(self, inputs: Tensors) -> Tensor:
        return self.encoder.joined(inputs, self.code)

    def shorten(self, embeddings: Tensor, width: int) -> Tensor:
        """The first numbers of both parts."""
        begins, kept = self.code - averaged(self.code), averaged(width)
        return normalize(torch.cat([embeddings[:, : width - kept], embeddings[:, begins : begins + kept]], dim=1))

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        def texts() -> Iterator[Tensors]:
            return (batch.roles["input"] for batch in stream())

        def of_words(share: float) -> None:
            tell(share / 2)

        counts = fit_words(
            self.encoder.words, texts, of_words, spell=self.spell, method="pmi", window=WINDOW, subsample=SUBSAMPLE
        )
        letters = self.letters()
        self.encoder.trust.fill_(trusted(counts, letters))
        spell = self.spell if self.encoder.words.spelled else None
        fit_bags(self.encoder.bags, texts, lambda share: tell((1 + share) / 2), letters=letters, spell=spell)


def trusted(counts: Tensor, letters: Tensor) -> float:
    """Length of averages beside TF-IDF, from how often each word was read [V] and which are single letters [V]."""
    read, alone = float(counts.sum()), float(counts[letters].sum())
    enough: float = min(1.0, read / ENOUGH_WORDS) ** 0.5
    return enough * (1 - (1 - OF_LETTERS) * alone / max(read, 1.0))
