"""Texts by what they are about and by the words they hold: frequency-weighted averages of word vectors (Arora 2017)
beside TF-IDF with SVD (Deerwester 1990) of words and the n-grams that spell them. Each sees what the other misses.

Legend: `B` batch, `E` width of the embedding.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from app.ml.encoders.base import Encoders
from app.ml.encoders.sentences import SentenceEncoder, averaged
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.objectives.parts.sentences import READ, fit_sentences
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors


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
    modality_defaults: ClassVar[Mapping[str, Any]] = READ

    @property
    def shortest(self) -> int | None:
        return 2  # one number of each part

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "sentences", "it holds vectors of words and pairs of words"

    def build(self, roles: Mapping[str, Role]) -> "SentenceNetwork":
        return SentenceNetwork(roles["input"])


class SentenceNetwork(Solved):
    """Nothing but its encoder."""

    unit = True

    def __init__(self, role: Role) -> None:
        super().__init__()
        assert isinstance(role.encoder, SentenceEncoder)
        self.encoders = Encoders({"input": role.encoder})
        assert isinstance(role.modality, FittedText)
        self.text = role.modality
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

        fit_sentences(self.encoder, self.text, texts, tell)
