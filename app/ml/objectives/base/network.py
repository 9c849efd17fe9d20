"""The contract of what an objective builds: a module that owns its encoders, its decoder and its loss.

The trainer knows numbers only.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from app.errors import OutOfRange
from app.ml.encoders.base import Encoders
from app.ml.networks.descent import Descent
from app.ml.networks.team import Team
from app.ml.tensors.batch import Batch, Loss, Stream, Tell, restored
from app.ml.tensors.device import sent
from app.ml.tensors.parts import PLACES
from app.ml.tensors.shapes import Tensors


class Objective(nn.Module):
    """A built objective, with its encoders as submodules, so that `state_dict()` is the whole model."""

    encoders: Encoders
    """Role to encoder; a graft on this model takes these."""
    sides: ClassVar[Mapping[str, str]] = {}
    """Of a model of pairs: role to the name of the method that embeds its items, the request role first. The model
    then has a method `match(items, others)`: embeddings [B, E] and [K, E] to the probabilities [B, K] of pairs."""
    unit: bool = False
    """True when embeddings have length 1."""
    shortest: int | None = None
    """The smallest width to which an embedding may be cut; None where it may not be cut. Set from the settings."""
    grafted: bool = False
    """True when its encoders come from a base model."""

    def begin(self, stream: Stream) -> None:
        """Initialises weights from data: called once, before the first step, with some thousands of training rows.

        On several devices each is given the same rows, and has to compute the same weights.
        """

    @property
    def begins_solved(self) -> bool:
        """True when `begin` sets weights that are a solution: they are published where no step led to better ones."""
        return False

    @property
    def places_at_once(self) -> int | None:
        """Places, with padding, up to which a processor computes rows of different lengths at once; None where any
        number is: vectors of words that are looked up are added fastest together."""
        return None if all(encoder.looks_up for encoder in self.encoders.values()) else PLACES

    @property
    def fast_weights(self) -> list[Tensor]:
        """Weights with a higher learning rate: large ones, as vectors of words are, which a usual step hardly moves."""
        return []

    @property
    def longest_text(self) -> int | None:
        """Tokens of the longest training text; longer texts are answered in parts. None where length is no matter."""
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> Loss:
        """The loss of one batch. Noise and dropout are applied in training mode alone."""

    def chances(self, batch: Batch) -> Tensors:
        """Name to the random numbers that `loss` takes for a batch, beside those of dropout; drawn on the CPU.

        Drawn apart, they are the same on every device, and the rest of a step can be recorded once and replayed.
        """
        return {}

    def drawn(self, batch: Batch) -> Tensors:
        """`chances` on the batch's device: those that came with it, or else drawn now."""
        device = batch.roles[next(iter(batch.roles))]["values"].device
        return batch.chances or {name: sent(each, device) for name, each in self.chances(batch).items()}

    @property
    def divides(self) -> bool:
        """True where `learn` computes gradients itself, in fp32 on a CPU: then a team of threads shares the rows."""
        return False

    def descent(self, team: Team) -> Descent:
        """What `learn` computes gradients with; made once the parameters have tensors for their gradients."""
        raise AssertionError("this objective does not divide: this is a bug")

    def learn(self, batch: Batch, share: float, descent: Descent) -> Loss:
        """The loss of one batch in training mode; adds `share` times the gradients of `Loss.sum` to the parameters'."""
        raise AssertionError("this objective does not divide: this is a bug")

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Name to figure of held-out rows, beyond the mean loss; called in evaluation and inference mode."""
        return {}

    def validation_metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`metrics` as a training's validations compute them, again and again: cheaper where that is possible.

        Metrics that stand among the parts of the loss may be left out.
        """
        return self.metrics(batches)

    baseline_rows: ClassVar[int] = 2000
    """Training rows that `baselines` is given at most."""

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """Name of a simple baseline, learned from `train`, to its `metrics` on `test`."""
        return {}

    def caveat(self, metrics: Mapping[str, Any]) -> str | None:
        """What whoever asks the network has to know, in words, where its `metrics` tell of it."""
        return None

    def postprocess(self, answers: Tensor, threshold: float | None = None) -> Tensor:
        """Of answers of `predict` [B, …], what the target's modality renders: of boxes, those from `threshold` on.

        Raises OutOfRange for a threshold where answers are not boxes.
        """
        if threshold is not None:
            raise OutOfRange("threshold: is for models that find boxes; leave it out", param="threshold")
        return answers

    def example_inputs(self, ability: str, items: Tensors) -> Tensors:
        """What to call an ability with as an example: the encoded items, or codes made of them where it takes codes."""
        return items

    def after_step(self, step: int, total: int) -> None:
        """Called after every optimizer step."""

    def shorten(self, embeddings: Tensor, width: int) -> Tensor:
        """Embeddings [B, E] cut to their first numbers [B, width], and scaled to length 1 again where they had it.

        `width` is `shortest` at least.
        """
        cut = embeddings[:, :width]
        return normalize(cut) if self.unit else cut


class Comparison(Objective):
    """An objective whose loss compares all rows of a batch with each other.

    The trainer may call `represent` on parts of a batch, on several devices too, join what comes back along its first
    axis and call `loss_from` once (gradient caching, Gao 2021). So the parts must not know of each other: no BatchNorm.
    """

    @abstractmethod
    def represent(self, batch: Batch) -> Tensor:
        """One entry per row of the batch along the first axis, [B, …] of fp32."""

    @abstractmethod
    def loss_from(self, representations: Tensor, batch: Batch) -> Loss:
        """The loss of the whole batch whose rows these are; its count is B."""

    def loss(self, batch: Batch) -> Loss:
        positions = batch.cut(1, self.places_at_once)
        representations = restored([self.represent(part) for part in batch.taken(positions)], positions)
        with torch.autocast(representations.device.type, enabled=False):  # likeness is a small difference of angles
            return self.loss_from(representations, batch)


class Solved(Objective):
    """An objective whose weights are computed from the data as a whole, without steps."""

    @abstractmethod
    def solve(self, stream: Stream, tell: Tell) -> None:
        """Fills the weights. Random numbers come from torch's global state, so that a restart ends with the same.

        Raises subclasses of app.errors.Invalid for data that have no solution, and what `tell` raises.
        """

    def loss(self, batch: Batch) -> Loss:
        raise AssertionError("a solved objective has no loss to step down on: this is a bug")
