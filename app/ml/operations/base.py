"""The contract of an operation: what can be asked of a model, from decoded body to answer. Knows no web framework.

Every operation takes the same path: read the body, read the input by the model's modality, encode, run the ability in
the model's batcher, answer.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.tensors.shapes import AnyColumn, Arrays, Tensors

Input = Annotated[
    Any,
    Field(
        description="One item or a list of items, in the model's modality. A vector: numbers. An image: nested numbers "
        "(`[H][W]` or `[H][W][C]`, 0 to 255), its pixels as one flat vector, or a `data:` URI of a PNG or JPEG. "
        "A sound: samples at the model's rate (whole numbers of 16 bits, or fractions from -1 to 1), or a `data:` URI "
        "of a WAV, FLAC, OGG or MP3 of any rate. "
        "A text: a string, or a list of token ids. "
        "No URL is ever fetched."
    ),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {}, "minItems": 1}, {"type": "string"}]}),
]
"""The type of a request's `input`: left as decoded, read by the model's modality."""


class Answered(BaseModel):
    """Root of what documents an answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Operation:
    """One per file; stateless."""

    name: ClassVar[str]
    ability: ClassVar[str]
    """The method of a model's network that it needs."""
    path: ClassVar[str]
    """Where it is mounted, with POST."""
    Request: ClassVar[type[BaseModel]]
    """Documents and validates the body; has `model: str` and, where `of_items`, `input: Input`."""
    Answer: ClassVar[type[BaseModel]]
    """Documents the answer."""
    of_items: ClassVar[bool] = True
    """True where a request brings items in `input` and each is answered: such requests go in batches and over `/v2`."""
    media: ClassVar[Mapping[str, str]] = {}
    """Of an operation whose answer is a file: media types by what a request calls them. `answer` then gives the bytes
    as `content` and their `media_type`."""
    asks_more: ClassVar[bool] = False
    """True where the network is asked with more than the items."""
    slow: ClassVar[bool] = False
    """True where making an answer of the outputs takes long."""
    numbers: ClassVar[str | None] = None
    """Key of an entry's numbers, where the answer has a binary form."""

    def encoded(self, request: Any, modality: Fitted, column: AnyColumn) -> Tensors:
        """The items that were read, as the network is asked with them. Raises what is wrong with them."""
        return modality.encode(column)

    def adapt(self, request: Any, network: Objective, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The ability's outputs [B, …] as the request wants them. Raises subclasses of Invalid for what cannot be."""
        return outputs

    def plain(self, request: Any) -> bool:
        """Whether the adapted outputs are the numbers of the answer's binary form, as they are."""
        return False

    def compared(self, request: Any) -> list[str] | None:
        """Texts of the other side with which a model of pairs compares each item, where the request brings such.

        Then `answer` has them as `target`, and their probabilities as `outputs`.
        """
        return None

    def wanted(self, request: Any, modality: Fitted, network: Objective, dimensions: int | None) -> Tensors:
        """What the network is asked with, where a request brings no items; `dimensions` is the width of its codes.

        Raises what is wrong with the request for this model.
        """
        raise AssertionError(f"{self.name} is asked with items; this is a bug")

    @abstractmethod
    def answer(
        self, request: Any, modality: Fitted, target: Fitted | None, inputs: Arrays, outputs: NDArray[np.float32]
    ) -> dict[str, Any]:
        """The answer's body but for `model`, which the route fills in with `name:version`.

        `inputs` are the encoded items, and `outputs` [B, …] the ability's; `target` is the modality in which answers
        are shown, where the model has one.
        May hold NumPy arrays: the route encodes them.
        """
