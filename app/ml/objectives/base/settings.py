"""The contract of an objective's settings: what a client may set, what it asks of data, and what is decided by default.

Legend: `B` batch, `E` width of the embedding, `T` tokens, `P` places, `K` classes, `F` frames, `M` mels.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from app.ml.encoders.base import EncoderSettings
from app.ml.objectives.base.network import Objective, Solved
from app.ml.objectives.base.roles import Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Layout, Shape


class ObjectiveSettings(Settings):
    """What a client may set. For every name in `abilities`, the built module has a method of that name:

    - `embed(inputs: Tensors) -> Tensor`: [B, E].
    - `reconstruct(inputs: Tensors) -> Tensor`: [B, *shape.size], scaled like the input.
    - `predict(inputs: Tensors) -> Tensor`: [B, *target's shape.size], probabilities for classes and tags, numbers for
      numbers; for boxes [B, P, 4 + K], what each of P places says. `postprocess` makes of it what the target's modality
      renders: the boxes are chosen there, since a choice is not continuous and golden answers could not be compared.
    - `generate(codes: Tensors) -> Tensor`: [B, *shape.size] of `values` [B, E] that are normally distributed.
    - `synthesize(inputs: Tensors) -> Tensor`: [B, F, 1 + M], per frame a 1 and its mels, zeros behind a sound's end; of
      inputs that hold `speed` [B], too.
    - `translate(inputs: Tensors) -> Tensor`: [B, T], ids of the target's modality, zeros behind a text's end; of inputs
      that may hold `beams` [B] and `most` [B], the most tokens.
    """

    name: str
    """Chooses the objective."""
    roles: ClassVar[Mapping[str, RoleNeeds]]
    abilities: ClassVar[frozenset[str]]
    request_role: ClassVar[str] = "input"
    """The role whose items requests bring. A graft takes over the encoder of this role for its own request role."""
    response_role: ClassVar[str] = "target"
    """The role in whose modality answers are shown, where the objective has it."""
    selection_metric: ClassVar[tuple[str, bool]] = ("loss", False)
    """The validation metric by which the best weights are selected, and whether more of it is better."""

    min_selection_rows: ClassVar[int] = 16
    """Validation rows below which scores are noise: the whole schedule is then trained, and the last weights are kept.

    By 18 to 57 rows of small tables, the best weights told two points more of the test rows than the last ones did, and
    missed numbers by a tenth less; by 8 to 12 rows they were as often worse.
    """
    views: ClassVar[int] = 1
    """How many differently augmented versions of every row the loss compares."""

    tells_equals: ClassVar[bool] = False
    """True when the loss asks which items of a batch are equal, before they are augmented."""

    allows_augmentation: ClassVar[bool] = True
    """False when rows must not be changed at random."""
    keeps_dimensions: ClassVar[bool] = False
    """True when the objective itself narrows the encoder's features to the requested `dimensions`, by a bottleneck."""

    keeps_answers: ClassVar[bool] = False
    """True when what answers are made of, such as words, is no matter of the data, as classes are: a `finetune` job on
    a model of this objective then goes on with its decoder, too."""

    groups_by_length: ClassVar[bool] = False
    """True when batches are made of rows of about one length, so that little of them is padding."""

    scores_vocabulary: ClassVar[bool] = False
    """True when the loss of a text holds a score per token and word of the vocabulary: large batches would not fit."""
    modality_defaults: ClassVar[Mapping[str, Any]] = {}
    """Values for settings of the modalities that a client leaves open, where they have such settings."""

    solved: ClassVar[bool] = False
    """True when the built module is a `Solved`."""

    @property
    def shortest(self) -> int | None:
        """The smallest width to which embeddings may be cut, where their first numbers say most; None: not at all."""
        return None

    def check(self, layouts: Mapping[str, Layout]) -> None:
        """Raises DoesNotFit where these settings cannot work with the layout of a role."""

    def shared_roles(self, parts: Mapping[str, Any], base: Mapping[str, Any]) -> Mapping[str, str]:
        """Role to the other role whose preprocessing and encoder it shares.

        `parts` are the resolved roles, `base` those of the base model, if there is one.
        """
        return {}

    def modality_defaults_for(self, facts: Mapping[str, Any], encoder: str | None) -> Mapping[str, Any]:
        """`modality_defaults`, given what the dataset's profile says of the role's column, and the encoder's name
        where a client gives one."""
        return self.modality_defaults

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        """Name of the encoder for `encoder: auto` and so many training rows, and why."""
        if shape.layout == "grid":
            return "cnn", "pictures have neighbouring pixels"
        if shape.layout == "tokens":
            return "transformer", "words mean what stands around them"
        return "mlp", "rows of numbers"

    def settles(self, encoder: EncoderSettings) -> bool:
        """Whether a fresh encoder is computed from training rows before the first step."""
        return "kernels" in encoder.capabilities

    def encoder_size(self, name: str, shape: Shape, rows: int) -> tuple[dict[str, Any], str]:
        """Settings of the default encoder `name` that suit so many training rows, and why; empty keeps its own."""
        return {}, ""

    def default_dimensions(self, data: TrainingData) -> int | None:
        """Width of the embedding when none is asked; None takes the features' own."""
        return None

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        """Values for keys of the objective itself that depend on the data, those that are given among them, and why."""
        return {}, ""

    def default_augmentations(self, data: TrainingData) -> Mapping[str, Mapping[str, Any]]:
        """Name of an augmentation to its settings where a client asks for none; without an entry, rows stay as they
        are."""
        return {}

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        """Values for the `auto` keys of `training`, and why: epochs, batch_size and learning_rate at least."""
        return data.usual_training(scores_vocabulary=self.scores_vocabulary)

    @abstractmethod
    def build(self, roles: Mapping[str, Role]) -> Objective:
        """A freshly initialised module around the given encoders, from torch's global random state."""


class SolvedSettings(ObjectiveSettings):
    """Settings of an objective that is solved: what decides steps has no meaning for it."""

    solved: ClassVar[bool] = True

    @property
    def shortest(self) -> int | None:
        return 1  # components come in the order of what they explain

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        return {"epochs": 1, "batch_size": 1024, "learning_rate": 1e-3}, "weights are computed, there are no steps"

    @abstractmethod
    def build(self, roles: Mapping[str, Role]) -> Solved:
        """A module with weights that nothing has taught yet."""
