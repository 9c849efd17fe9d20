"""What a question of the Open Inference Protocol holds, for its documentation: `app.api.oip_tensors` reads it."""

from typing import Any

from pydantic import Field

from app.api.schemas import Wire


class InferTensor(Wire):
    """The items that a model is asked about."""

    name: str
    """`input`"""
    datatype: str
    """`FP32`, `UINT8`, `INT16` or `BYTES`, as the model's metadata say."""
    shape: list[int] = Field(min_length=1)
    """The first number is how many items there are."""
    data: list[Any] | None = None
    """The elements, nested or one behind the other."""
    parameters: dict[str, Any] | None = None
    """`binary_data_size` instead of `data`: how many bytes behind the JSON are the elements."""


class InferOutput(Wire):
    """An output that is asked for."""

    name: str
    """One of those in the model's metadata."""
    parameters: dict[str, Any] | None = None
    """`binary_data`: whether it comes behind the JSON."""


class InferRequest(Wire):
    """A question to a model, as the protocol writes it."""

    id: str | None = None
    """Comes back in the answer."""
    inputs: list[InferTensor] = Field(min_length=1)
    """The model's one input."""
    outputs: list[InferOutput] | None = None
    """Those to compute; all where it is left out."""
    parameters: dict[str, Any] | None = None
    """`binary_data_output`: whether outputs that are not named come behind the JSON."""
