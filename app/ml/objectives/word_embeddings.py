"""Vectors of words from the words around them (Levy & Goldberg 2014), solved rather than stepped.

Legend: `B` batch, `E` width of the embedding.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from app.errors import OutOfRange
from app.ml.encoders.base import Encoders
from app.ml.encoders.words import WordEncoder
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.words.vector_fitting import SUBSAMPLE, WINDOW, Method, fit_words


class WordEmbeddings(SolvedSettings):
    """A vector per word, from the words that stand around it; computed, without steps. Learns from texts without
    labels. Serves words, and texts as averages of their words, in which rare words count more and what all texts have
    in common is removed (Arora 2017). Vectors have length 1; a word beyond the vocabulary is spelled by its n-grams."""

    name: Literal["word_embeddings"] = "word_embeddings"
    """A vector per word."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {"input": RoleNeeds(frozenset({"tokens"}), True, frozenset({"words"}))}
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    modality_defaults: ClassVar[Mapping[str, Any]] = {"tokenizer": "words", "max_length": 8192, "ngrams": 32_768}

    method: Method = "pmi"
    """`pmi` factorises how much more often than by chance words stand together (Levy, Goldberg & Dagan 2015);
    `laplacian` pulls words that stand together towards each other, under orthonormal columns (Belkin & Niyogi 2003)."""
    window: int = Field(WINDOW, ge=1, le=50)
    """Words to either side that count as context; the nearest count most."""
    subsample: float = Field(SUBSAMPLE, gt=0, le=1)
    """Share of all words above which a word is left out at random, the more often the more frequent it is."""

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "words", "it holds a vector per word"

    def build(self, roles: Mapping[str, Role]) -> "WordNetwork":
        return WordNetwork(self, roles["input"])


class WordNetwork(Solved):
    """Nothing but its encoder."""

    unit = True

    def __init__(self, settings: WordEmbeddings, role: Role) -> None:
        super().__init__()
        assert isinstance(role.encoder, WordEncoder)
        self.settings = settings
        self.encoders = Encoders({"input": role.encoder})
        assert isinstance(role.modality, FittedText)
        self.spell = role.modality.spellings
        self.code = role.dimensions or role.encoder.width

    @property
    def encoder(self) -> WordEncoder:
        encoder = self.encoders["input"]
        assert isinstance(encoder, WordEncoder)
        return encoder

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoder.words(inputs["values"], inputs["mask"])
        return normalize(pooled[:, : self.code])

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        settings = self.settings
        fit_words(
            self.encoder.words,
            lambda: (batch.roles["input"] for batch in stream()),
            tell,
            spell=self.spell,
            method=settings.method,
            window=settings.window,
            subsample=settings.subsample,
        )
        if not self.encoder.words.table.any():
            raise OutOfRange(
                "the training texts hold too few different words side by side to learn vectors from", param="dataset"
            )
