"""Learns to tell the classes of labelled items apart, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding, `K` classes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.ml.layers import linear
from app.ml.modalities.base import Tensors
from app.ml.objectives.base import Batch, Data, Loss, Objective, ObjectiveSettings, Role, RoleNeeds

GRAFT_RATE = 0.3
"""Learning rate of a pretrained encoder as a share of the fresh head's: at full rate few labels undo what it knows."""


class Classification(ObjectiveSettings):
    """Tell the classes of labelled rows apart. Rows without a label are left out."""

    name: Literal["classification"] = "classification"
    """Tell classes apart."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"vector", "grid", "tokens"}), encoded=True),
        "target": RoleNeeds(frozenset({"classes"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"embed", "predict"})

    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of certainty that is spread over all classes, so that few labels are not learned by heart."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features that the classifier does not see at a step of training."""

    def default_training(self, data: Data) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        if not data.from_base:
            return values, reason
        return {**values, "encoder_rate": GRAFT_RATE}, f"{reason}; the encoder moves slowly, as it has learned before"

    def build(self, roles: Mapping[str, Role]) -> "Classifier":
        return Classifier(self, roles["input"], roles["target"])


class Classifier(Objective):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: Classification, role: Role, target: Role) -> None:
        super().__init__()
        assert role.encoder is not None
        self.settings = settings
        self.encoders = nn.ModuleDict({"input": role.encoder})
        width = role.dimensions or role.encoder.width
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = linear(width, target.modality.shape.count)

    def embed(self, inputs: Tensors) -> Tensor:
        embedding: Tensor = self.neck(self.encoders["input"](inputs).pooled)  # [B, D] -> [B, E]
        return embedding

    def predict(self, inputs: Tensors) -> Tensor:
        """Probabilities [B, K]."""
        return self._scores(inputs).softmax(1)

    def loss(self, batch: Batch) -> Loss:
        target = batch.roles["target"]
        classes = target.get("weights", target["values"])  # [B, K] where labels are mixed, else [B]
        scores = self._scores(batch.roles["input"])
        total = cross_entropy(scores, classes, reduction="sum", label_smoothing=self.settings.label_smoothing)
        return Loss(total, len(classes))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`accuracy`, and `cross_entropy` in nats without smoothing."""
        right, entropy, count = 0, 0.0, 0
        for batch in batches:
            scores, classes = self._scores(batch.roles["input"]), batch.roles["target"]["values"]
            right += int((scores.argmax(1) == classes).sum())
            entropy += cross_entropy(scores, classes, reduction="sum").item()
            count += len(classes)
        return {"accuracy": right / max(1, count), "cross_entropy": entropy / max(1, count)}

    def _scores(self, inputs: Tensors) -> Tensor:
        scores: Tensor = self.head(self.dropout(self.norm(self.embed(inputs))))  # [B, K]
        return scores.float()
