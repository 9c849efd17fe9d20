"""Reconstructions: what the model makes of an item from its code, and how far off that is."""

import base64
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from app.errors import UnknownChoice
from app.ml.modalities.base import Fitted
from app.ml.operations.base import Answered, Input, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays


class ReconstructRequest(Settings):
    """Reconstruct one item or several."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Input
    encoding_format: Literal["float", "base64", "png"] = "float"
    """`float`: numbers in the unit of the data, nested as the item is; of a sound its spectrogram in dB, mel by frame.
    `base64`: images as PNG `data:` URIs, sounds as WAV, vectors as little-endian float32. `png`: images only."""


class Reconstruction(Answered):
    """One item, rebuilt."""

    object: Literal["reconstruction"]
    index: int
    """Position of the item in the request."""
    reconstruction: list[Any] | str
    """Numbers, or a string as `encoding_format` asks."""
    error: float
    """Mean squared error in the unit of the scaled input, of text the share of words that differ; high for items unlike
    the training data."""


class ReconstructAnswer(Answered):
    """One reconstruction per item, in their order."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[Reconstruction]


class Reconstruct(Operation):
    name: ClassVar[str] = "reconstruct"
    ability: ClassVar[str] = "reconstruct"
    path: ClassVar[str] = "/v1/reconstructions"
    Request: ClassVar[type[BaseModel]] = ReconstructRequest
    Answer: ClassVar[type[BaseModel]] = ReconstructAnswer
    numbers: ClassVar[str | None] = "reconstruction"

    def answer(
        self,
        request: ReconstructRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        """Raises UnknownChoice when PNG is asked of a modality that has no pictures."""
        errors = item_errors(outputs, inputs)
        items = modality.render(torch.from_numpy(outputs), binary=request.encoding_format != "float")
        if request.encoding_format == "png" and not str(items[0]).startswith("data:image/png"):
            raise UnknownChoice(
                f"encoding_format: 'png' needs an image model, and this one reads {modality.settings.name}; "
                "'float' and 'base64' work",
                param="encoding_format",
            )
        if request.encoding_format != "float" and not isinstance(items[0], str):  # no compact form of its own
            items = [base64.b64encode(np.asarray(item, dtype="<f4").tobytes()).decode() for item in items]
        return {
            "object": "list",
            "data": [
                {"object": "reconstruction", "index": index, "reconstruction": item, "error": float(error)}
                for index, (item, error) in enumerate(zip(items, errors, strict=True))
            ],
        }


def item_errors(outputs: NDArray[np.float32], inputs: Arrays) -> NDArray[np.float64]:
    """Mean squared error per item, or the share of its words that differ."""
    values = inputs["values"]
    if values.dtype.kind == "f":
        each = np.square(outputs.astype(np.float64) - values).reshape(len(outputs), -1)
        return np.asarray(each.mean(axis=1))
    mask = inputs["mask"]
    outputs = outputs[:, : values.shape[1]]  # strangers in the batch may have been longer
    return np.asarray(((outputs != values) & mask).sum(axis=1) / np.maximum(1, mask.sum(axis=1)))
