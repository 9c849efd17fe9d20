"""The contract of a modality: how raw items become tensors, and back. Knows no network.

What a modality learned from the training split is its only preprocessing at inference, so training and serving cannot
differ.
Legend: `B` batch, `W` width.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor

from app.errors import DoesNotFit
from app.ml.plugins import Settings
from app.ml.tensors.padding import Packed
from app.ml.tensors.shapes import AnyColumn, Arrays, Layout, Shape, Tensors, as_arrays

FEW = 32
"""Numbers up to which an embedding is a code to rebuild items from, rather than features for other tasks."""
COUNTED = ("classes", "missing", "splits")
"""What a column's profile counts."""


class Modality(Settings):
    """What a client may set. `fit` makes a `Fitted`, which has learned from the training split."""

    name: str
    """Chooses the modality."""
    layout: ClassVar[Layout]
    reads: ClassVar[str | None] = None
    """Modality of the columns that it reads, where that is another one: a second way to see them."""
    pretext: ClassVar[str] = "autoencoding"
    """Name of the objective that pretrains on such inputs when none is asked for."""
    pretext_of_few: ClassVar[str | None] = None
    """The same where an embedding of at most `FEW` numbers is asked for; None when it makes no difference."""
    invertible: ClassVar[bool] = True
    """False where what is rendered shows an item and does not lead back to it: a spectrogram has lost its phases."""
    alike: ClassVar[tuple[str, ...]] = ("shape",)
    """What the profiles of columns must agree in, so that they can be read as one."""

    @classmethod
    def pretext_for(cls, facts: Mapping[str, Any], width: int | None) -> tuple[str, str]:
        """The objective that pretrains on such a column of the profile when none is asked for, and why.

        `width` is that of the embedding, where the client says it.
        """
        if cls.pretext_of_few is not None and width is not None and width <= FEW:
            return cls.pretext_of_few, f"an embedding of {width} numbers is a code to rebuild rows from"
        return cls.pretext, "pretraining without labels"

    @abstractmethod
    def fit(self, columns: Iterable[Any]) -> Fitted:
        """Learns preprocessing from the training split's column, which comes in pieces. One pass, constant memory.

        Raises app.errors.Invalid subclasses when the data cannot be learned from.
        """

    def completed(self, facts: Mapping[str, Any]) -> Self:
        """These settings, with what the profile says of the column where that has to hold for requests too."""
        return self

    def named(self, facts: Mapping[str, Any]) -> Self:
        """These settings of a new model, with what the profile says that requests may call things by."""
        return self

    def difference(self, facts: Mapping[str, Any]) -> str:
        """In words, which columns of the profile are not those that a model with these settings reads; may be empty."""
        return ""

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        """The shape that a column of the profile will have once encoded, as far as it is known before fitting."""
        return Shape(self.layout, tuple(facts.get("shape", ())) or (len(facts.get("classes", ())),))

    @classmethod
    def together(cls, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of the columns of two datasets once they are read as one; counts are added up.

        Raises DoesNotFit, which tells how `other` differs, where they cannot be.
        """
        for key in cls.alike:
            if one.get(key) != other.get(key):
                raise DoesNotFit(f"its {key} is {other.get(key)}, not {one.get(key)}")
        counted = {key: added(one[key], other[key]) for key in COUNTED if key in one and key in other}
        labels = dict.fromkeys([*one.get("labels", ()), *other.get("labels", ())])
        return {**one, **counted, **({"labels": list(labels)} if labels else {})}

    @classmethod
    def moved(cls, column: Any, own: Mapping[str, Any], joint: Mapping[str, Any]) -> Any:
        """A raw column as it stands beside those of other datasets: `own` is known of it, `joint` of them together."""
        return column

    def length(self, facts: Mapping[str, Any]) -> float:
        """Places of a row of mean length, about, as far as the profile tells: tokens of a text."""
        return 1.0

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Fitted:
        """The Fitted whose `state()` this was."""


class Fitted:
    """A modality that has learned. Immutable and safe to share between threads."""

    settings: Modality
    shape: Shape
    takes_arrays: ClassVar[bool] = False
    """True when `read` takes arrays [W] and [B, W] of floats for the same numbers in lists, W being `shape.count`."""

    scales: ClassVar[bool] = False
    """True where `encode` is arithmetic with raw numbers, which `scaled` does, too."""
    columns: Tensor | None = None
    """[W] int64: of a vector, to which column of the raw row each number belongs; None where each is its own."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What was learned, as JSON."""

    @abstractmethod
    def read(self, items: Any) -> AnyColumn:
        """Request items (as decoded from JSON, already an array, or the bytes of files) to a raw column.

        Raises WrongShape, NonFinite, WrongType, Malformed or EmptyInput with `param="input"` or `input[3]`.
        """

    @abstractmethod
    def encode(self, column: Any) -> Tensors:
        """Raw column [B, …] to tensors, `values` [B, *shape.size]; class ids [B] int64 for classes."""

    def scaled(self, raw: Tensor) -> Tensor:
        """What `encode` gives as `values` of a raw column, by torch alone: a part of a graph."""
        raise AssertionError("this modality does not scale: this is a bug")

    def unscaled(self, values: Tensor) -> Tensor:
        """Encoded values, or answers like them, in the unit of raw ones where there is one: a part of a graph."""
        return values

    def arrays(self, column: Any) -> Arrays:
        """What `encode` gives, for those who compute without torch."""
        return as_arrays(self.encode(column))

    def pack(self, column: Any) -> Packed:
        """What `encode` gives, without padding."""
        return Packed.of(self.encode(column))

    @abstractmethod
    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Tensors shaped like `encode(...)["values"]` (or class scores [B, classes]) to JSON-ready items, one per row.

        `binary` asks for the compact form where there is one: a PNG `data:` URI for an image, a WAV for a sound.
        """

    def sizes(self, items: Any) -> list[tuple[int, int]] | None:
        """Height and width of each of the items that `read` took, or one for all; None of what has no such."""
        return None

    def entries(self, values: Tensor, sizes: Sequence[tuple[int, int]] | None) -> list[dict[str, Any]]:
        """A target's part of each answer, as JSON: what `render` gives, in pixels of items of these `sizes`."""
        return self.render(values)


def added(one: Any, other: Any) -> Any:
    """Counts added up, name by name where they have names."""
    if not isinstance(one, Mapping):
        return one + other
    both = {key: added(one[key], other[key]) for key in one if key in other}
    return {**one, **other, **both}
