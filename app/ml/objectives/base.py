"""The contract of an objective: what is learned. It owns its decoder, bottleneck and loss.

The trainer knows numbers only.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize

from app.errors import OutOfRange
from app.ml.encoders.base import Capability, Encoder
from app.ml.modalities.base import Fitted
from app.ml.networks.descent import Descent
from app.ml.networks.team import Team
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.plugins import Settings
from app.ml.tensors.batch import Batch, Loss, Stream, Tell
from app.ml.tensors.device import sent
from app.ml.tensors.shapes import Layout, Shape, Tensors


@dataclass(frozen=True)
class Role:
    """What an objective is given for one of its roles."""

    modality: Fitted
    encoder: Encoder | None = None
    dimensions: int | None = None
    """Asked width of the embedding; None takes the encoder's own."""


@dataclass(frozen=True)
class RoleNeeds:
    """What an objective asks of a role."""

    layouts: frozenset[Layout]
    encoded: bool = False
    """True when the role has an encoder."""
    capabilities: frozenset[Capability] = frozenset()
    place: int | None = None
    """Pixels of a side that a place of the encoder's finest map may have; None where maps are not looked at."""


class Objective(nn.Module):
    """A built objective, with its encoders as submodules, so that `state_dict()` is the whole model."""

    encoders: nn.ModuleDict
    """Role to encoder; a graft on this model takes these."""
    sides: ClassVar[Mapping[str, str]] = {}
    """Of a model of pairs: role to the method that embeds its items, the asked one first. It then has a method
    `match(items, others)` that gives probabilities [B, K] of embeddings [K, E] to be the partner of items' [B, E]."""
    unit: bool = False
    """True when embeddings have length 1."""
    shortest: int | None = None
    """Width to which an embedding may be cut at most, as its settings say; None where it may not."""
    grafted: bool = False
    """True when its encoders come from a base model."""

    def begin(self, stream: Stream) -> None:
        """Called once, before the first step, with some thousands of training rows: sets weights that can be computed.

        On several devices each computes the same ones.
        """

    @property
    def begins_solved(self) -> bool:
        """True when the weights that `begin` sets are a solution: they are kept where no step leads to better ones."""
        return False

    @property
    def quick(self) -> list[Tensor]:
        """Weights of about size 1, as vectors of words are: beside them what a step moves is small, so it is more."""
        return []

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text that it learned from, where longer ones are to be answered in parts."""
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The loss of one batch; in training mode with noise and dropout, else without."""

    def chances(self, batch: Batch) -> Tensors:
        """The random numbers, beside those of dropout, that `loss` takes for a batch: drawn on the processor.

        So they are the same on every device, and the rest of a step is the same operations every time.
        """
        return {}

    def drawn(self, batch: Batch) -> Tensors:
        """`chances` where the batch is: drawn now, if they have not been before."""
        device = batch.roles[next(iter(batch.roles))]["values"].device
        return batch.chances or {name: sent(each, device) for name, each in self.chances(batch).items()}

    @property
    def divides(self) -> bool:
        """True where `learn` computes gradients, in fp32 on a processor: a team of threads shares the rows."""
        return False

    def descent(self, team: Team) -> Descent:
        """What `learn` computes gradients with, once what learns has room for them."""
        raise AssertionError("this objective does not divide: this is a bug")

    def learn(self, batch: Batch, share: float, descent: Descent) -> Loss:
        """The loss of one batch in training mode; adds `share` times the gradients of its sum to those there are."""
        raise AssertionError("this objective does not divide: this is a bug")

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Name to figure of held-out rows, beyond the mean loss; called in evaluation and inference mode."""
        return {}

    def validation_metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`metrics` as a training's validations compute them, again and again: cheaper where that is possible.

        Metrics that stand among the parts of the loss may be left out.
        """
        return self.metrics(batches)

    learned_rows: ClassVar[int] = 2000
    """Training rows of which `baselines` learns at most."""

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """What simple answers, learned from `train`, reach on `test`: by their names, the figures of `metrics`."""
        return {}

    def settled(self, answers: Tensor, least: float | None = None) -> Tensor:
        """What `predict` says [B, …], as the target's modality renders it; nothing of a score below `least`.

        Raises OutOfRange where answers are not boxes, of which some can be left out.
        """
        if least is not None:
            raise OutOfRange("threshold: is for models that find boxes; leave it out", param="threshold")
        return answers

    def asked_with(self, ability: str, items: Tensors) -> Tensors:
        """What an ability is asked with to show what it does: encoded items, or what it takes in their place."""
        return items

    def after_step(self, step: int, total: int) -> None:
        """Called after every optimizer step."""

    def shorten(self, embeddings: Tensor, width: int) -> Tensor:
        """Embeddings [B, E] cut to [B, width], `shortest` at least: what a model of that width would say."""
        cut = embeddings[:, :width]
        return normalize(cut) if self.unit else cut


class Comparison(Objective):
    """An objective whose loss compares all rows of a batch with each other.

    The trainer may call `represent` on parts of a batch, on several devices too, join what comes back along its first
    axis and call `loss_from` once (gradient caching, Gao 2021). So the parts must not know of each other: no BatchNorm.
    """

    @abstractmethod
    def represent(self, batch: Batch) -> Tensor:
        """One entry per row of the batch along the first axis, [B, …]."""

    @abstractmethod
    def loss_from(self, representations: Tensor) -> Loss:
        """The loss of the batch whose rows these are; its count is B."""

    def loss(self, batch: Batch) -> Loss:
        return self.loss_from(self.represent(batch))


class Solved(Objective):
    """An objective whose weights are computed from the data as a whole, without steps."""

    @abstractmethod
    def solve(self, stream: Stream, tell: Tell) -> None:
        """Fills the weights. Random numbers come from torch's global state, so that a restart ends with the same.

        Raises subclasses of app.errors.Invalid for data that have no solution, and what `tell` raises.
        """

    def loss(self, batch: Batch) -> Loss:
        raise AssertionError("a solved objective has no loss to step down on: this is a bug")


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
