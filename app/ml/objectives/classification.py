"""Learns to tell the classes of labelled items apart, from a fresh encoder or as a graft on a pretrained one.

Legend: `B` batch, `K` classes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from app.ml.objectives.base import Role, RoleNeeds
from app.ml.objectives.parts.supervised import Headed, SupervisedSettings
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch, Loss
from app.ml.tensors.shapes import Tensors

CHANGES = {"image": {"crop": 0.8, "shift": 0.05, "rotation": 10}}
"""That pictures of hardly a class mind: mirrored, a b is a d. A base knows pictures well enough without them: of 100
clothes that were changed a graft told 2 points less, and a new network 2 more (two draws)."""


class Classification(SupervisedSettings):
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

    def default_augmentations(self, data: TrainingData) -> Mapping[str, Mapping[str, Any]]:
        return {} if data.from_base else CHANGES

    def build(self, roles: Mapping[str, Role]) -> "Classifier":
        return Classifier(self, roles["input"], roles["target"])


class Classifier(Headed):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    def __init__(self, settings: Classification, role: Role, target: Role) -> None:
        super().__init__(settings, role, target.modality.shape.count)
        self.settings = settings

    def predict(self, inputs: Tensors) -> Tensor:
        """Probabilities [B, K]."""
        return self.scores(inputs).softmax(1)

    def loss_of(self, scores: Tensor, target: Tensors) -> Loss:
        classes = target.get("weights", target["values"])  # [B, K] where labels are mixed, else [B]
        total = cross_entropy(scores, classes, reduction="sum", label_smoothing=self.settings.label_smoothing)
        return Loss(total, len(classes))

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`accuracy`, and `cross_entropy` in nats without smoothing."""
        right, entropy, count = 0, 0.0, 0
        for batch in batches:
            scores, classes = self.scores(batch.roles["input"]), batch.roles["target"]["values"]
            right += int((scores.argmax(1) == classes).sum())
            entropy += cross_entropy(scores, classes, reduction="sum").item()
            count += len(classes)
        return {"accuracy": right / max(1, count), "cross_entropy": entropy / max(1, count)}
