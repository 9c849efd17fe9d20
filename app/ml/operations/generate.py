"""New items, drawn from a model that has learned what items are like, in a shape of our own for every modality."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.operations.base import Answered, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays, Tensors

MOST = 128


class GenerateRequest(Settings):
    """Draw new items like those that the model learned from."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    n: Annotated[int, Field(strict=True, ge=1, le=MOST)] = 1
    """How many."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    """The same seed gives the same items, whatever `n`: the first three of five are those of three. Without one, each
    request draws others."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Spread of the codes that are drawn: below 1 items are more usual, at 0 all are the most usual one."""
    encoding_format: Literal["float", "base64"] = "float"
    """`float`: in the unit of the data, nested as items are; texts are strings. `base64`: images as PNG `data:` URIs,
    sounds as WAV."""


class Generation(Answered):
    """One new item."""

    object: Literal["generation"]
    index: int
    """Its number, from 0."""
    item: list[Any] | str
    """As a reconstruction is given."""


class GenerateAnswer(Answered):
    """New items."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[Generation]


class Generate(Operation):
    name: ClassVar[str] = "generate"
    ability: ClassVar[str] = "generate"
    path: ClassVar[str] = "/v1/generations"
    of_items: ClassVar[bool] = False
    Request: ClassVar[type[BaseModel]] = GenerateRequest
    Answer: ClassVar[type[BaseModel]] = GenerateAnswer

    def wanted(self, request: GenerateRequest, modality: Fitted, network: Objective, dimensions: int | None) -> Tensors:
        return codes(request.n, request.seed, dimensions, request.temperature)

    def answer(
        self,
        request: GenerateRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        items = modality.render(torch.from_numpy(outputs), binary=request.encoding_format == "base64")
        return {
            "object": "list",
            "data": [{"object": "generation", "index": index, "item": item} for index, item in enumerate(items)],
        }


def codes(count: int, seed: int | None, dimensions: int | None, temperature: float = 1.0) -> Tensors:
    """Points [count, E] of a standard normal distribution, what the codes of a model that generates are like."""
    assert dimensions is not None, "a network that generates has codes; this is a bug"
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((count, dimensions), dtype=np.float32)
    return {"values": torch.from_numpy(drawn * np.float32(temperature))}
