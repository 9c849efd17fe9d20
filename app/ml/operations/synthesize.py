"""Speech from text, in OpenAI's shape. No objective teaches it yet: every model answers `ability_missing`."""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.ml.modalities.base import Arrays, Fitted
from app.ml.operations.base import Answered, Operation
from app.ml.plugins import Settings


class SpeechRequest(Settings):
    """Speak a text: for models that have the ability `synthesize`, which no model here has yet."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: str
    """The text."""
    voice: str | dict[str, Any] | None = None
    """Whose voice."""
    instructions: str | None = None
    """How to speak."""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    """What the sound comes as."""
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    """1 is as the model learned to speak."""


class SpeechAnswer(Answered):
    """The sound."""

    model: str
    """`name:version` that answered."""


class Synthesize(Operation):
    name: ClassVar[str] = "synthesize"
    ability: ClassVar[str] = "synthesize"
    path: ClassVar[str] = "/v1/audio/speech"
    of_items: ClassVar[bool] = False
    Request: ClassVar[type[BaseModel]] = SpeechRequest
    Answer: ClassVar[type[BaseModel]] = SpeechAnswer

    def answer(
        self,
        request: SpeechRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        raise AssertionError("no objective gives the ability 'synthesize'; this is a bug")
