"""TF-IDF of words and pairs of words, narrowed by truncated SVD (latent semantic analysis, Deerwester 1990).

Legend: `B` batch, `V` vocabulary, `P` pairs, `F` features: V + P, `E` width of the embedding.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from app.ml.encoders.base import Encoders
from app.ml.encoders.linear import BagEncoder
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Role, RoleNeeds, Solved, SolvedSettings
from app.ml.tensors.batch import Stream, Tell
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.words.bag_fitting import fit_bags


class TfidfSvd(SolvedSettings):
    """Texts by the words and pairs of words that they hold; computed, without steps. Learns from texts without labels.

    Vectors have length 1; a text without any word of the vocabulary is all zeros."""

    name: Literal["tfidf_svd"] = "tfidf_svd"
    """TF-IDF, narrowed by SVD."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {"input": RoleNeeds(frozenset({"tokens"}), True, frozenset({"linear"}))}
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    modality_defaults: ClassVar[Mapping[str, Any]] = {"tokenizer": "words", "max_length": 8192}

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "linear", "it holds a vector per word"

    def build(self, roles: Mapping[str, Role]) -> "WeightedBags":
        return WeightedBags(roles["input"])


class WeightedBags(Solved):
    """A vector per word and pair; the embedding of a text is their weighted sum, scaled to length 1."""

    unit = True

    def __init__(self, role: Role) -> None:
        super().__init__()
        assert isinstance(role.encoder, BagEncoder)
        self.encoders = Encoders({"input": role.encoder})
        assert isinstance(role.modality, FittedText)
        self.letters = role.modality.letters
        self.code = role.dimensions or role.encoder.width

    @property
    def encoder(self) -> BagEncoder:
        encoder = self.encoders["input"]
        assert isinstance(encoder, BagEncoder)
        return encoder

    def embed(self, inputs: Tensors) -> Tensor:
        pooled: Tensor = self.encoder.bags(inputs["values"], inputs["mask"])
        return normalize(pooled[:, : self.code])

    @torch.no_grad()
    def solve(self, stream: Stream, tell: Tell) -> None:
        def texts() -> Iterator[Tensors]:
            return (batch.roles["input"] for batch in stream())

        fit_bags(self.encoder.bags, texts, tell, letters=self.letters())
