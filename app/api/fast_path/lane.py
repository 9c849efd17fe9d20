"""The fast path: a question that arrives whole, is made of numbers or short texts, and asks a model at hand.

No task, no message and no future is made for it. What arrives together is computed and answered together
(`turn`); what its head asks for is looked up once for all, and a head that was read before is known by its
bytes. Everything else, whatever is wrong with a question included, is left as it came to the slow path
(`app.api.inference`), whose errors have names: the fast path answers 200, or 429 where no permit came in time. Knows no
socket.
"""

import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from app import plain_json
from app.api import request_bodies
from app.api.fast_path.heads import Head, Heads
from app.api.fast_path.question import NONE, Alike, Asker, Question
from app.api.fast_path.refusals import Refusals
from app.api.fast_path.turn import Turn
from app.api.middleware import request_id
from app.api.telemetry import Telemetry
from app.errors import RootstockError
from app.ml.inference.admission import Permit, Place, Waiter
from app.ml.inference.predictor import MANY
from app.ml.operations.base import Operation
from app.registry.keys import Caller
from app.serving import Serving
from app.settings import Settings

LARGEST = 1024 * 1024
"""Bodies beyond this are worked on off the event loop."""


class Lane:
    """The fast path of one process. For the event loop's thread only."""

    def __init__(
        self,
        operations: Mapping[str, Operation],
        serving: Serving,
        telemetry: Telemetry,
        settings: Settings,
    ) -> None:
        """`operations` are known by their paths."""
        self._serving, self._telemetry = serving, telemetry
        self._max_inputs = settings.max_inputs
        careful = ("origin",) if settings.origins else ()  # its answers have more headers
        self.head = Heads(operations, min(settings.max_body_bytes, LARGEST), careful).find
        self._turn = Turn(serving.permits, telemetry)
        self._refusals = Refusals(serving.permits)

    def take(self, head: Head, data: bytes, asker: Asker, waited: float = 0.0) -> Question | None:
        """The question in the whole request `data`, which will be answered; None for one to be read with care.

        There must be a permit for it; `waited` says for how long there was none.
        """
        began = time.perf_counter()
        request, items = head.options, None
        if head.kind != request_bodies.RAW:
            read = self._read(head, data)
            if read is None:
                return None
            request, items = read
        alike = self._turn.like(head, request)
        if alike is None:
            alike = self._alike(head, request)
            if alike is None:
                return None
        count, cost = alike.size(items)
        if not 0 < count <= alike.most:
            return None
        question = Question(asker, data, items, count, cost, waited, began)
        self._turn.add(alike, question)
        return question

    def must_wait(self, head: Head) -> bool:
        """Whether there is no permit for it: nobody reads what cannot be worked on.

        Only a caller who may ask waits; the slow path tells the others what is wrong with their key.
        """
        permits = self._serving.permits
        return permits.full and self._caller(head) is not None and not permits.find()

    def line_up(self, head: Head, waiter: Waiter) -> Place:
        """A place in line for a permit."""
        return self._serving.permits.line_up(waiter, head.size)

    def refuse(self, head: Head, asker: Asker, waited: float) -> None:
        """Tells the asker, who has `waited` in line, that there was no permit."""
        status, lines, content = self._refusals.now()
        asker.respond(asker.opening(status, lines), head.request_id or request_id(), content)
        self._telemetry.requests("POST", head.operation.path, status, waited)

    def permit(self, waited: float) -> Permit:
        """The one that there is for who has `waited` in line and takes the slow path."""
        permit = Permit(self._serving.permits)
        permit.admitted(waited)
        return permit

    def _caller(self, head: Head) -> Caller | None:
        """Who has the head's key, where that is known here and the key lets its holder ask."""
        caller = self._serving.known(head.secret)
        return caller if caller is not None and "infer" in caller.scopes else None

    def _read(self, head: Head, data: bytes) -> tuple[Any, NDArray[Any]] | None:
        """Options and items [B] in a body; None where only the slow path can tell what it says."""
        if self._caller(head) is None:
            return None
        body = data[head.end :]
        if head.options is None:
            read = plain_json.read(body, request_bodies.INPUT, texts=True)
            if read is None:
                return None
            request, items = request_bodies.remembered(head.operation, read[0]), read[1]
        else:
            try:
                request, items = head.options, request_bodies.npy(body)
            except RootstockError:
                return None
        return request, items[None] if items.ndim == 1 and items.dtype != object else items

    def _alike(self, head: Head, request: Any) -> Alike | None:
        """For the questions of this turn with that head and those options; None where they are to be read with care."""
        caller = self._caller(head)
        if caller is None or request is None:
            return None
        predictor = self._serving.at_hand(caller.project_id, request.model)
        if predictor is None or not (predictor.reading.row_numbers or predictor.reading.reads_texts):
            return None
        answer = predictor.answer_numbers.get(head.operation.ability)
        if answer is None or head.operation.asks_more or predictor.reading.asks_sides(request):
            return None
        most = min(self._max_inputs, MANY // answer)  # to render more would hold up the event loop
        width, size = predictor.reading.row_numbers, head.size - head.end
        count, more = divmod(size, 4 * width) if width else (0, 0)
        return Alike(head, request, predictor, width, most, NONE if more else (count, size // 4))
