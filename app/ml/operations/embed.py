"""Embeddings, in OpenAI's shape."""

import base64
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.errors import OutOfRange
from app.ml.modalities.base import Fitted, Tensors
from app.ml.operations.base import Input, Operation
from app.ml.plugins import Settings


class EmbedRequest(Settings):
    """Embed one item or several."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Input
    encoding_format: Literal["float", "base64"] = "float"
    """`base64` is little-endian float32."""
    dimensions: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Width of the embedding, for models that can shorten theirs; all others take their own width only."""
    user: str | None = None
    """Taken and not used."""


class Embedding(BaseModel):
    """One item's vector."""

    object: Literal["embedding"]
    index: int
    """Position of the item in the request."""
    embedding: list[float] | str
    """Numbers, or their bytes in base64."""


class Usage(BaseModel):
    """What was worked on: tokens of texts, else items."""

    prompt_tokens: int
    total_tokens: int


class EmbedAnswer(BaseModel):
    """One embedding per item, in their order."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[Embedding]
    usage: Usage


class Embed(Operation):
    name: ClassVar[str] = "embed"
    ability: ClassVar[str] = "embed"
    path: ClassVar[str] = "/v1/embeddings"
    Request: ClassVar[type[BaseModel]] = EmbedRequest
    Answer: ClassVar[type[BaseModel]] = EmbedAnswer
    numbers: ClassVar[str | None] = "embedding"

    def answer(
        self,
        request: EmbedRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Tensors,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        """Raises OutOfRange for `dimensions` that are not the model's own."""
        rows, width = outputs.shape
        if request.dimensions not in (None, width):
            raise OutOfRange(
                f"dimensions: {request.dimensions} asked, and this model embeds in {width} and cannot shorten that; "
                f"leave dimensions out or send {width}",
                param="dimensions",
            )
        tokens = int(inputs["mask"].sum()) if modality.shape.layout == "tokens" else rows
        encode = as_base64 if request.encoding_format == "base64" else np.ascontiguousarray
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(row)} for index, row in enumerate(outputs)
            ],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def as_base64(numbers: NDArray[np.float32]) -> str:
    """Little-endian float32."""
    return base64.b64encode(numbers.astype("<f4", copy=False).tobytes()).decode()
