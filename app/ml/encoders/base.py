"""The contract of an encoder: the backbone network that objectives and grafts share.

Legend: `B` batch, `L` tokens, `D` width of the features.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from app.ml.networks.rectified import Chain
from app.ml.plugins import Settings
from app.ml.tensors.batch import Tell
from app.ml.tensors.shapes import Layout, Shape, Tensors

Capability = Literal["keep", "causal", "grid", "linear", "words", "sentences", "kernels"]
"""`grid`: the tokens of a picture lie on one, beside finer `levels` where there are such. `linear`, `words`,
`sentences` and `kernels` are weights that can be computed: components of items, vectors of words, both, of series."""


@dataclass(frozen=True)
class Features:
    """What an encoder says about a batch. Grafts read these, not an objective's narrow code."""

    tokens: Tensor
    """[B, L, D]"""
    pooled: Tensor
    """[B, D]"""
    mask: Tensor | None = None
    """[B, L] bool, True where a token is real; None when all are"""
    grid: tuple[int, int] | None = None
    """Rows and columns of the tokens when they lie on a grid"""
    levels: tuple[Tensor, ...] = ()
    """Finer feature maps [B, D_i, H_i, W_i], finest first"""


class Encoder(nn.Module):
    """A built encoder. `width` is D."""

    width: int
    unit: bool = False
    """True when `pooled` has length 1."""
    side: int = 0
    """Side of the square patches of a grid that `keep` names; 0 where it names none."""
    looks_up: ClassVar[bool] = False
    """True where an item is a few rows of a large table, with little to multiply: ONNX Runtime, which would hold the
    table a second time, gains a fifth of a millisecond."""

    settles: bool = False
    """True where `settle` computes weights that steps then start from, if there are steps."""
    informed: ClassVar[bool] = False
    """True where features tell so much once they are settled that a head is solved for them before the first step."""

    def settle(self, rows: Tensor, tell: Tell) -> None:
        """Computes weights from the values [R, …] of training rows, on the CPU, by torch's global random state.

        `tell` is called with the share that is done.
        """
        raise AssertionError("this encoder has nothing to settle: this is a bug")

    @abstractmethod
    def forward(self, inputs: Tensors, *, keep: Tensor | None = None, causal: bool = False) -> Features:
        """Features of a batch. `keep` [B, K] names the tokens that are visible; `causal` hides later ones from earlier.

        Both may only be given where the settings declare the capability.
        """

    def pooled(self, inputs: Tensors) -> Tensor:
        """The `pooled` of `forward` [B, D], for callers that read no tokens: encoders that need none compute none."""
        pooled: Tensor = self(inputs).pooled
        return pooled

    @abstractmethod
    def decoder(self, shape: Shape, code: int) -> nn.Module:
        """A freshly initialised mirror image of this network: [B, code] to unbounded values [B, *shape.size].

        For tokens its `forward(code, length)` gives scores [B, length, vocabulary] of the words at each place.
        """

    def redrawn(self, inputs: Tensors, bottleneck: nn.Module, decoder: nn.Module) -> Tensor:
        """What a `decoder` of this network makes of the code that `bottleneck` makes of `pooled`: [B, *shape.size]."""
        drawn: Tensor = decoder(bottleneck(self.pooled(inputs)))
        return drawn

    def chain(self, bottleneck: nn.Module, decoder: nn.Module) -> Chain | None:
        """The layers of `redrawn`, where there is nothing but linear and rectified ones."""
        return None


class EncoderSettings(Settings):
    """What a client may set."""

    name: str
    """Chooses the encoder."""
    accepts: ClassVar[frozenset[Layout]]
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Name to values of fields, for encoders with a field `preset`."""

    dimensions: int | None = Field(None, ge=1, le=65536)
    """Width of the embedding. Without one, the width of the network's features."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        preset = given.get("preset") if isinstance(given, Mapping) else None
        return {**cls.presets[preset], **given} if isinstance(preset, str) and preset in cls.presets else given

    def default_settings(self, shape: Shape, place: int | None = None) -> tuple[dict[str, Any], str]:
        """Values for keys that a new job leaves open, and why. What is stored is built as it always was.

        `place` is how many pixels of a side a place of the finest map may have, where maps are looked at.
        """
        return {}, ""

    def check(self, shape: Shape) -> None:
        """Raises DoesNotFit where these settings cannot read items of that shape."""

    @abstractmethod
    def build(self, shape: Shape) -> Encoder:
        """A freshly initialised encoder for inputs of `shape`, from torch's global random state."""


class Encoders(nn.ModuleDict):
    """Built encoders by role."""

    def __getitem__(self, role: str) -> Encoder:
        encoder = super().__getitem__(role)
        assert isinstance(encoder, Encoder), "this is a bug"
        return encoder
