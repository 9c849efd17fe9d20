"""One question on the short way (`app.api.lane`), and the connection that it came by. Knows no socket."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.api.heads import Head
from app.api.packing import Packed, as_bytes
from app.ml.modalities.base import Arrays
from app.ml.predictor import Predictor
from app.ml.work import Work


class Asker(Protocol):
    """The connection that a question came by."""

    def respond(self, status: int, lines: bytes, content: bytes) -> None:
        """Writes the answer, with `lines` in its head; the next question may come."""

    def carefully(self, data: bytes) -> None:
        """Takes the careful way with the whole request `data`."""

    def admitted(self, waited: float) -> None:
        """There is a permit for what it asked."""

    def refused(self, waited: float) -> None:
        """There was none in time."""


@dataclass(eq=False, slots=True)
class Question:
    """One request on the short way."""

    asker: Asker
    head: Head
    data: bytes
    request: Any
    rows: NDArray[Any]
    predictor: Predictor
    waited: float
    """For a permit, in seconds."""
    began: float
    work: Work | None = None
    gone: bool = False

    def packed(self, given: Arrays, outputs: NDArray[np.float32]) -> Packed:
        """The answer that the outputs [B, …] make. Raises what is wrong with the request for this model."""
        head, predictor = self.head, self.predictor
        if head.binary is not None:
            plain = predictor.plain(head.operation, self.request, outputs)
            if plain is not None:
                return as_bytes(plain, head.binary, predictor.reference)
        return predictor.render(head.operation, self.request, given, outputs, head.pack)

    def leave(self) -> None:
        """Its client has gone: nobody needs the answer."""
        self.gone = True
        if self.work is not None:
            self.work.future.cancel()
