"""Learns to tell each token of a text from those before it: a causal language model (Radford 2018).

Legend: `B` batch, `L` tokens, `D` width of the encoder's features, `E` width of the embedding, `V` vocabulary.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from app.ml.encoders.base import Encoders
from app.ml.networks.layers import linear
from app.ml.objectives.base import Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.text.frequencies import log_frequencies
from app.ml.text.tokenization import BEGIN, END


class NextToken(ObjectiveSettings):
    """Tell each token of a text from those before it; learns from texts without labels."""

    name: Literal["next_token"] = "next_token"
    """Tell the next token."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"tokens"}), encoded=True, capabilities=frozenset({"causal"}))
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed"})
    keeps_dimensions: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        return "transformer", "a token looks at those before it"

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        return {**values, "learning_rate": 1e-3, "schedule": "cosine", "warmup": 0.05}, reason

    def build(self, roles: Mapping[str, Role]) -> "LanguageModel":
        return LanguageModel(roles["input"])


class LanguageModel(Objective):
    """A causal encoder and scores of the token that follows each of its own."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        shape = role.modality.shape
        assert role.encoder is not None
        assert shape.vocabulary is not None
        self.most = shape.size[0]
        self.encoders = Encoders({"input": role.encoder})
        width = role.dimensions or role.encoder.width
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        self.head = linear(width, shape.vocabulary)

    @torch.no_grad()
    def begin(self, stream: Stream) -> None:
        self.head.bias.copy_(log_frequencies(stream, self.head.out_features, ends=True))

    def embed(self, inputs: Tensors) -> Tensor:
        """Mean over the beginning and all tokens, each of which has seen those before it."""
        embedding: Tensor = self.neck(self.encoders["input"](self.begun(inputs), causal=True).pooled)  # [B, D]
        return embedding

    def begun(self, inputs: Tensors) -> Tensors:
        """The texts behind a sign for the beginning, one place longer where the encoder has room for it."""
        values, mask = pad(inputs["values"], (1, 0), value=BEGIN), pad(inputs["mask"], (1, 0), value=True)
        return {"values": values[:, : self.most], "mask": mask[:, : self.most]}

    def loss(self, batch: Batch) -> Loss:
        """Sum of the cross-entropy, in nats, over all tokens and the end of each text; their number."""
        _, each, counted = self._scored(batch)
        return Loss((each * counted).sum(), int(counted.sum()))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`perplexity` and `token_accuracy` of the next token."""
        entropy, right, count = 0.0, 0, 0
        for batch in batches:
            hit, each, counted = self._scored(batch)
            entropy += (each * counted).sum().item()
            right += int((hit & counted).sum())
            count += int(counted.sum())
        return {"perplexity": math.exp(min(entropy / max(1, count), 80.0)), "token_accuracy": right / max(1, count)}

    def _scored(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Which tokens are told right, their cross-entropies, and which count; all [B, L]."""
        inputs = batch.roles["input"]
        begun = self.begun(inputs)
        length = begun["values"].shape[1]
        lengths = inputs["mask"].sum(1, keepdim=True)
        wanted = pad(inputs["values"], (0, 1))[:, :length]
        wanted = wanted.where(torch.arange(length, device=wanted.device) != lengths, END)
        scores = self.head(self.neck(self.encoders["input"](begun, causal=True).tokens)).float()  # [B, L, V]
        each = cross_entropy(scores.transpose(1, 2), wanted, reduction="none")
        return scores.argmax(2) == wanted, each, begun["mask"]
