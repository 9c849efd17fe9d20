"""New pictures, in OpenAI's shape."""

import time
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app import data_uris
from app.errors import OutOfRange, UnknownChoice
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.operations.base import Answered, Operation
from app.ml.operations.generate import MOST, codes
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays, Tensors


class ImagesRequest(Settings):
    """Draw new pictures like those that the model learned from."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    prompt: str
    """Required by OpenAI's shape. Models here draw without one: it may be anything, and changes nothing."""
    n: Annotated[int, Field(strict=True, ge=1, le=MOST)] | None = None
    """How many; 1 by default."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None
    """The same seed gives the same pictures. Without one, each request draws others."""
    response_format: Literal["b64_json"] = "b64_json"
    """A PNG in base64; nothing is kept here to which a URL could lead."""
    size: str | None = None
    """`auto`, or the model's own size as `WIDTHxHEIGHT`."""
    user: str | None = None
    """Taken and not used."""


class Picture(Answered):
    """One picture."""

    b64_json: str
    """A PNG, in base64."""


class ImagesAnswer(Answered):
    """New pictures."""

    created: int
    model: str
    """`name:version` that answered."""
    data: list[Picture]


class GenerateImages(Operation):
    name: ClassVar[str] = "generate_images"
    ability: ClassVar[str] = "generate"
    path: ClassVar[str] = "/v1/images/generations"
    of_items: ClassVar[bool] = False
    Request: ClassVar[type[BaseModel]] = ImagesRequest
    Answer: ClassVar[type[BaseModel]] = ImagesAnswer

    def wanted(self, request: ImagesRequest, modality: Fitted, network: Objective, dimensions: int | None) -> Tensors:
        """Raises UnknownChoice for a model of something else than pictures, OutOfRange for a size not its own."""
        if modality.settings.name != "image":
            raise UnknownChoice(
                f"model: this one draws {modality.settings.name}, not pictures; ask it at /v1/generations",
                param="model",
            )
        _, height, width = modality.shape.size
        if request.size not in (None, "auto", f"{width}x{height}"):
            raise OutOfRange(
                f"size: {request.size!r:.40} asked, and the model draws {width}x{height}; leave size out", param="size"
            )
        return codes(request.n or 1, request.seed, dimensions)

    def answer(
        self,
        request: ImagesRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        pictures = modality.render(torch.from_numpy(outputs), binary=True)
        data = [{"b64_json": picture.removeprefix(data_uris.write(b"", "image/png"))} for picture in pictures]
        return {"created": int(time.time()), "data": data}
