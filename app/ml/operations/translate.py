"""Translations: what becomes of a text, by models that learned it from pairs."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.errors import OutOfRange
from app.ml.modalities.base import Fitted
from app.ml.modalities.text import FittedText
from app.ml.operations.base import Answered, Input, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import AnyColumn, Arrays, Tensors
from app.ml.translation.beam_search import BEAMS, MOST_BEAMS

MOST_TOKENS = 8192


class TranslateRequest(Settings):
    """Translate a text or several, by a model that learned from pairs of texts (objective `translation`)."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Input
    beams: Annotated[int, Field(strict=True, ge=1, le=MOST_BEAMS)] = BEAMS
    """How many unfinished translations are carried on side by side: 1 takes the likeliest word each time, more find
    likelier translations and take longer."""
    max_length: Annotated[int, Field(strict=True, ge=1, le=MOST_TOKENS)] | None = None
    """Tokens that a translation has at most. It never has many more than the length of its source lets expect."""


class TranslatedText(Answered):
    """What became of one text."""

    object: Literal["translation"]
    index: int
    """Position of the text in the request."""
    text: str
    """Its translation."""


class TranslateAnswer(Answered):
    """One translation per text, in their order."""

    object: Literal["list"]
    model: str
    """`name:version` that answered."""
    data: list[TranslatedText]


class Translate(Operation):
    name: ClassVar[str] = "translate"
    ability: ClassVar[str] = "translate"
    path: ClassVar[str] = "/v1/translations"
    Request: ClassVar[type[BaseModel]] = TranslateRequest
    Answer: ClassVar[type[BaseModel]] = TranslateAnswer
    asks_more: ClassVar[bool] = True

    def encoded(self, request: TranslateRequest, modality: Fitted, column: AnyColumn) -> Tensors:
        """Raises OutOfRange for a text of which only the beginning would be translated."""
        assert isinstance(modality, FittedText)
        assert isinstance(column, np.ndarray)
        place = modality.too_long(column)
        if place is not None:
            name = "input" if len(column) == 1 else f"input[{place}]"
            raise OutOfRange(
                f"{name}: is longer than the {modality.max_length} tokens that the model reads; translate it in parts, "
                "sentence by sentence",
                param=name,
            )
        rows = len(column)
        most = torch.full((rows,), request.max_length or MOST_TOKENS)
        return {**modality.encode(column), "beams": torch.full((rows,), request.beams), "most": most}

    def answer(
        self,
        request: TranslateRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        assert target is not None, "a network that translates was built with a target; this is a bug"
        texts = target.render(torch.from_numpy(outputs))
        return {
            "object": "list",
            "data": [{"object": "translation", "index": index, "text": text} for index, text in enumerate(texts)],
        }
