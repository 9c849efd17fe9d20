"""Predictions: the likeliest labels of an item, its number, or what lies where in it."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.errors import EmptyInput, UnknownChoice
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.operations.base import Answered, Input, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays


class PredictRequest(Settings):
    """Predict for one item or several."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Input
    top_k: Annotated[int, Field(strict=True, ge=1)] | None = None
    """How many of the best labels `scores` holds, or of the best boxes `boxes`, of models that have such; all by
    default."""
    threshold: Annotated[float, Field(strict=True, ge=0, le=1)] | None = None
    """Of models that find boxes alone: least score of a box that is told, 0.3 by default."""
    candidate_labels: Annotated[list[str], Field(min_length=2, max_length=1000)] | None = None
    """Of models of pairs alone (objective `alignment`), one side of which reads texts: what each item, of the other
    side, may be, in words like those of the training data. Scores are probabilities among these."""


class Box(Answered):
    """Something that was found in a picture."""

    label: str
    """What it is."""
    score: float
    """How likely it is there, from 0 to 1."""
    box: list[float]
    """Where: x0, y0, x1, y1 in pixels of the picture that was sent, from its upper left corner."""


class Prediction(Answered):
    """What one item is."""

    object: Literal["prediction"]
    index: int
    """Position of the item in the request."""
    label: str | None = None
    """The likeliest; of models of classes."""
    score: float | None = None
    """Its probability."""
    labels: list[str] | None = None
    """All that are likelier than not, best first; of models of tags."""
    scores: dict[str, float] | None = None
    """Label to probability, best first; of models of classes and tags."""
    value: float | None = None
    """In the unit of the training data; of models of numbers."""
    boxes: list[Box] | None = None
    """All that was found, best first; of models of boxes."""


class PredictAnswer(Answered):
    """One prediction per item, in their order."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[Prediction]


class Predict(Operation):
    name: ClassVar[str] = "predict"
    ability: ClassVar[str] = "predict"
    path: ClassVar[str] = "/v1/predictions"
    Request: ClassVar[type[BaseModel]] = PredictRequest
    Answer: ClassVar[type[BaseModel]] = PredictAnswer

    def compared(self, request: PredictRequest) -> list[str] | None:
        """Raises EmptyInput for an empty label, UnknownChoice for one that comes twice."""
        labels = request.candidate_labels
        for place, label in enumerate(labels or ()):
            if not label.strip():
                name = f"candidate_labels[{place}]"
                raise EmptyInput(f"{name}: is an empty text; give at least one word", param=name)
            if labels is not None and labels.count(label) > 1:
                raise UnknownChoice(f"candidate_labels: {label!r:.100} comes twice", param="candidate_labels")
        return labels

    def adapt(self, request: PredictRequest, network: Objective, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raises OutOfRange for a threshold where there is nothing to leave out."""
        return network.postprocess(torch.from_numpy(outputs), request.threshold).numpy()

    def answer(
        self,
        request: PredictRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        assert target is not None, "a network that predicts was built with a target; this is a bug"
        data = []
        for index, rendered in enumerate(target.entries(torch.from_numpy(outputs), modality.sizes(request.input))):
            if "scores" in rendered:
                best = sorted(rendered["scores"].items(), key=lambda pair: pair[1], reverse=True)[: request.top_k]
                rendered = {**rendered, "scores": dict(best)}
            if "boxes" in rendered:
                rendered = {**rendered, "boxes": rendered["boxes"][: request.top_k]}
            data.append({"object": "prediction", "index": index, **rendered})
        return {"object": "list", "data": data}
