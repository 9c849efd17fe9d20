"""The contract of an objective's settings: what a client may set, what it asks of data, and what is decided by default.

Legend: `B` batch, `E` width of the embedding, `T` tokens, `P` places, `K` classes, `F` frames, `M` mels.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from app.ml.objectives.base.network import Objective, Solved
from app.ml.objectives.base.roles import Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Layout, Shape


class ObjectiveSettings(Settings):
    """What a client may set. For every name in `abilities`, the built module has a method of that name.

    `embed(inputs: Tensors) -> Tensor` [B, E]; `reconstruct(inputs: Tensors) -> Tensor` [B, *shape.size], scaled like
    the input; `predict(inputs: Tensors) -> Tensor` [B, *target's shape.size], as the target's modality renders it once
    it is `settled`: for classes and tags probabilities, for boxes [B, P, 4 + K] what each of P places says, which is
    continuous where a choice among them is not; `generate(codes: Tensors) -> Tensor` [B, *shape.size] of codes [B, E]
    that are normally distributed; `synthesize(inputs: Tensors) -> Tensor` [B, F, 1 + M], per frame a 1 and what is
    heard in it, zeros behind a sound's end, of inputs that hold `speed` [B], too; `translate(inputs:
    Tensors) -> Tensor` [B, T] ids of the target's modality, zeros behind a text's end, of inputs that may hold `beams`
    [B] and `most` [B] tokens.
    """

    name: str
    """Chooses the objective."""
    roles: ClassVar[Mapping[str, RoleNeeds]]
    abilities: ClassVar[frozenset[str]]
    request_role: ClassVar[str] = "input"
    """The role whose items requests bring; a model that is grafted on this one takes over its encoder."""
    response_role: ClassVar[str] = "target"
    """The role in whose modality answers are shown, where the objective has it."""
    selection_metric: ClassVar[tuple[str, bool]] = ("loss", False)
    """The validation metric by which the best weights are selected, and whether more of it is better."""

    enough_to_choose: ClassVar[int] = 16
    """Validation rows below which scores are noise: then the whole schedule is trained, and its last weights stay.

    By 18 to 57 rows of small tables, the best weights told two points more of the test rows than the last ones did, and
    missed numbers by a tenth less; by 8 to 12 rows they were as often worse.
    """
    views: ClassVar[int] = 1
    """How many differently augmented versions of every row the loss compares."""

    augments: ClassVar[bool] = True
    """False when every row has to be learned as it is."""
    changes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """By augmentation what is set of it where nobody says; of others nothing, and rows are learned as they are."""
    keeps_dimensions: ClassVar[bool] = False
    """True when the objective narrows the features to the asked dimensions, as a bottleneck does."""

    sorts: ClassVar[bool] = False
    """True when a batch's rows may be of about one length, so that little of it is padding."""

    tells_words: ClassVar[bool] = False
    """True when the loss of a text scores every word of the vocabulary at its places: large batches would not fit."""
    reads: ClassVar[Mapping[str, Any]] = {}
    """Values for keys of the modalities that a client leaves open, where these have them."""

    solved: ClassVar[bool] = False
    """True when the built module is a `Solved`."""

    @property
    def shortest(self) -> int | None:
        """Width to which embeddings may be cut, whose first numbers say most; None where all of them are needed."""
        return None

    def check(self, layouts: Mapping[str, Layout]) -> None:
        """Raises DoesNotFit where these settings cannot work with the layout of a role."""

    def shares(self, parts: Mapping[str, Any], base: Mapping[str, Any]) -> Mapping[str, str]:
        """Roles that take over the preprocessing and the encoder of another one, given the resolved parts of each.

        `base` are those of the base model, if there is one.
        """
        return {}

    def reading(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        """`reads` of a column of which the profile says these `facts`."""
        return self.reads

    def default_encoder(self, shape: Shape) -> tuple[str, str]:
        """Name of the encoder for `encoder: auto`, and why."""
        if shape.layout == "grid":
            return "cnn", "pictures have neighbouring pixels"
        if shape.layout == "tokens":
            return "transformer", "words mean what stands around them"
        return "mlp", "rows of numbers"

    def encoder_size(self, name: str, rows: int) -> tuple[dict[str, Any], str]:
        """Values for keys of the default encoder `name` that so many rows teach, and why; of others it has its own."""
        return {}, ""

    def default_dimensions(self, data: TrainingData) -> int | None:
        """Width of the embedding when none is asked; None takes the features' own."""
        return None

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        """Values for keys of the objective itself that depend on the data, those that are given among them, and why."""
        return {}, ""

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        """Values for the `auto` keys of `training`, and why: epochs, batch_size and learning_rate at least."""
        return data.usual_training(tells_words=self.tells_words)

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
