"""The contract of what an objective builds: a module that owns its encoders, its decoder and its loss.

The trainer knows numbers only.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize

from app.errors import OutOfRange
from app.ml.networks.descent import Descent
from app.ml.networks.team import Team
from app.ml.tensors.batch import Batch, Loss, Stream, Tell
from app.ml.tensors.device import sent
from app.ml.tensors.shapes import Tensors


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
