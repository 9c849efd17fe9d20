"""Embeddings, in OpenAI's shape."""

import base64
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.errors import OutOfRange
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.operations.base import Answered, Input, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays


class EmbedRequest(Settings):
    """Embed one item or several."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Input
    encoding_format: Literal["float", "base64"] = "float"
    """`base64` is little-endian float32."""
    dimensions: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Width to which embeddings are cut; they have length 1 again where they had it. For models whose first numbers say
    most: those whose `shortest_dimensions` is not null take that width and all above, the others their own only."""
    side: Literal["left", "right"] | None = None
    """Of models of pairs: which side the items are of. Left out, that which reads such items, and `left` where both do:
    of pairs of pictures and texts, `data:` URIs go to the one side and texts to the other."""
    user: str | None = None
    """Taken and not used."""


class Embedding(Answered):
    """One item's vector."""

    object: Literal["embedding"]
    index: int
    """Position of the item in the request."""
    embedding: list[float] | str
    """Numbers, or their bytes in base64."""


class Usage(Answered):
    """What was worked on: tokens of texts, else items."""

    prompt_tokens: int
    """Of the request."""
    total_tokens: int
    """The same: answers are not counted."""


class EmbedAnswer(Answered):
    """One embedding per item, in their order."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[Embedding]
    usage: Usage
    """How much was worked on."""


def check_width(asked: int, width: int, least: int | None) -> None:
    """Raises OutOfRange where embeddings of `width`, cut to `least` or not at all, have none of the `asked` width."""
    if asked == width or (least is not None and least <= asked <= width):
        return
    can = "cannot shorten that" if least is None else f"can shorten that to {least}"
    raise OutOfRange(
        f"dimensions: {asked} asked, and this model embeds in {width} and {can}; leave dimensions out or send {width}",
        param="dimensions",
    )


class Embed(Operation):
    name: ClassVar[str] = "embed"
    ability: ClassVar[str] = "embed"
    path: ClassVar[str] = "/v1/embeddings"
    Request: ClassVar[type[BaseModel]] = EmbedRequest
    Answer: ClassVar[type[BaseModel]] = EmbedAnswer
    numbers: ClassVar[str | None] = "embedding"

    def adapt(self, request: EmbedRequest, network: Objective, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises OutOfRange for `dimensions` that the model does not have."""
        width = outputs.shape[1]
        if request.dimensions in (None, width):
            return outputs
        check_width(request.dimensions, width, network.shortest)
        return network.shorten(torch.from_numpy(outputs), request.dimensions).numpy()

    def plain(self, request: EmbedRequest) -> bool:
        return request.encoding_format == "float"

    def answer(
        self,
        request: EmbedRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        tokens = int(inputs["mask"].sum()) if modality.shape.layout == "tokens" else len(outputs)
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
