"""Speech from text, in OpenAI's shape, by models that learned to speak."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from app.errors import OutOfRange
from app.ml.audio import sounds
from app.ml.modalities.base import Fitted
from app.ml.modalities.spectrogram import FittedSpectrogram
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Objective
from app.ml.operations.base import Answered, Operation
from app.ml.plugins import Settings
from app.ml.tensors.shapes import Arrays, Tensors
from app.ml.text.passages import passages
from app.ml.text.tokenization import SPECIALS

MOST_CHARACTERS = 4096
"""OpenAI's limit."""
MOST_SECONDS = 1800
"""Of speech in one answer."""


class SpeechRequest(Settings):
    """Speak a text, by a model that learned from recordings and their transcripts (objective `speech_synthesis`)."""

    model: str
    """`name`, `name:version` or `name@alias`."""
    input: Annotated[str, Field(max_length=MOST_CHARACTERS)]
    """The text. Letters and digits that the model has never heard are refused, other signs that it has never heard are
    passed over. A text longer than those that it learned from is spoken in parts."""
    voice: str | dict[str, Any] | None = None
    """Required by OpenAI's shape. A model has one voice, that of its recordings: this may be anything, and changes
    nothing."""
    instructions: str | None = None
    """Taken and not used."""
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    """What the sound comes as, at the rate of the recordings or the next that the format has. `pcm` has no header:
    16 bits, little-endian, 24,000 samples a second. There is no `aac`."""
    speed: Annotated[float, Field(ge=0.25, le=4)] = 1.0
    """1 is as the model learned to speak, 2 takes half the time."""
    stream_format: Literal["audio"] = "audio"
    """The sound comes as a whole."""


class Synthesize(Operation):
    name: ClassVar[str] = "synthesize"
    ability: ClassVar[str] = "synthesize"
    path: ClassVar[str] = "/v1/audio/speech"
    of_items: ClassVar[bool] = False
    media: ClassVar[Mapping[str, str]] = sounds.MEDIA
    slow: ClassVar[bool] = True
    Request: ClassVar[type[BaseModel]] = SpeechRequest
    Answer: ClassVar[type[BaseModel]] = Answered

    def wanted(self, request: SpeechRequest, modality: Fitted, network: Objective, dimensions: int | None) -> Tensors:
        """Raises what `passages` does."""
        assert isinstance(modality, FittedText)
        assert network.longest_text is not None
        text = modality.tokenizer.normalizer.normalize_str(request.input)
        known = set(modality.tokenizer.get_vocab()).difference(SPECIALS)
        spelled = modality.settings.kind == "characters"
        pieces = passages(text, known if spelled else None, network.longest_text)
        inputs = modality.encode(modality.read(pieces))
        return {**inputs, "speed": torch.full((len(pieces),), request.speed)}

    def answer(
        self,
        request: SpeechRequest,
        modality: Fitted,
        target: Fitted | None,
        inputs: Arrays,
        outputs: NDArray[np.float32],
    ) -> dict[str, Any]:
        """Raises OutOfRange beyond MOST_SECONDS."""
        assert isinstance(target, FittedSpectrogram)
        lengths = outputs[:, :, 0].sum(1).astype(int)
        seconds = lengths.sum() * target.mel.hop / target.settings.rate
        if seconds > MOST_SECONDS:
            raise OutOfRange(
                f"input: takes {seconds:,.0f} s to speak; at most {MOST_SECONDS:,} are answered at once", param="input"
            )
        waves = [
            target.wave(torch.from_numpy(frames[:length, 1:])) for frames, length in zip(outputs, lengths, strict=True)
        ]
        content = sounds.encode_as(np.concatenate(waves), target.settings.rate, request.response_format)
        return {"content": content, "media_type": sounds.MEDIA[request.response_format]}
