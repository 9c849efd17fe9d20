"""The short way: a question that arrives whole, is made of numbers, and asks a model at hand.

No task, no message and no future is made for it. What arrives in one turn of the event loop is read, computed and
answered together; a head that was read before is known by its bytes. Everything else, whatever is wrong with a question
included, is left as it came to the careful way (`app.api.inference`), whose errors have names: the short way answers
200, or 429 where no permit came in time. Knows no socket.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from app import numbers
from app.api import asked
from app.api.envelope import answer as envelope
from app.api.heads import Head, Heads
from app.api.middleware import request_id
from app.api.packing import server_timing
from app.api.telemetry import Telemetry
from app.errors import RootstockError
from app.ml.admission import Permit, Place
from app.ml.modalities.base import Tensors
from app.ml.operations.base import Operation
from app.ml.predictor import MANY, Predictor, Timings
from app.ml.work import Work
from app.registry.keys import Caller
from app.serving import Serving
from app.settings import Settings

MOST_REFUSALS = 64
LARGEST = 1024 * 1024
"""Bodies beyond this are worked on off the event loop."""


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


Answered = tuple[int, Timings, float]
"""Rows of an answered question, where its time went, and how long it took."""


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

    def leave(self) -> None:
        """Its client has gone: nobody needs the answer."""
        self.gone = True
        if self.work is not None:
            self.work.future.cancel()


class Lane:
    """The short way of one process. For the event loop's thread only."""

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
        self._turn: list[Question] = []
        self._refusals: dict[int, tuple[int, bytes, bytes]] = {}
        """By how many wait: status, lines of the head and content, since who refuses has no time to write them anew."""

    def take(self, head: Head, data: bytes, asker: Asker, waited: float = 0.0) -> Question | None:
        """The question in the whole request `data`, which will be answered; None for one to be read with care.

        There must be a permit for it; `waited` says for how long there was none.
        """
        began = time.perf_counter()
        caller = self._caller(head)
        if caller is None:
            return None
        rows: NDArray[Any]
        if head.options is None:
            read = numbers.read(data[head.end :], asked.INPUT)
            if read is None:
                return None
            beside, rows = read
            request = asked.remembered(head.operation, beside)
        else:
            request = head.options
        predictor = None if request is None else self._serving.at_hand(caller.project_id, request.model)
        if predictor is None or predictor.row_numbers is None:
            return None
        width = predictor.answer_numbers.get(head.operation.ability)
        if width is None:
            return None
        if predictor.asks_sides(request):
            return None
        if head.options is not None:
            try:
                body = data[head.end :]
                rows = asked.npy(body) if head.kind == asked.NPY else asked.raw(body, predictor.row_numbers)
            except RootstockError:
                return None
        if rows.ndim == 1:
            rows = rows[None]
        if rows.ndim != 2 or rows.shape[1] != predictor.row_numbers or not 0 < len(rows) <= self._max_inputs:
            return None
        if len(rows) * width > MANY:  # rendering would hold up the event loop
            return None
        question = Question(asker, head, data, request, rows, predictor, waited, began)
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._answer)  # behind all that is ready now
        self._turn.append(question)
        self._serving.permits.take()
        return question

    def line_up(self, head: Head, asker: Asker) -> Place | None:
        """The asker's place in line when there is no permit: nobody reads what cannot be worked on.

        Only a caller who may ask waits; the careful way tells the others what is wrong with their key.
        """
        permits = self._serving.permits
        if not permits.full or self._caller(head) is None:
            return None
        return permits.line_up(asker, head.size)

    def refuse(self, head: Head, asker: Asker, waited: float) -> None:
        """Tells the asker, who has `waited` in line, that there was no permit."""
        status, lines, content = self._refusals.get(self._serving.permits.taken) or self._refusal()
        asker.respond(status, b"%bx-request-id: %b\r\n" % (lines, head.request_id or request_id()), content)
        self._telemetry.requests("POST", head.operation.path, status, waited)

    def permit(self) -> Permit:
        """One for who is to take the careful way."""
        return Permit(self._serving.permits)

    def _caller(self, head: Head) -> Caller | None:
        """Who has the head's key, where that is known here and the key lets its holder ask."""
        caller = self._serving.known(head.secret)
        return caller if caller is not None and "infer" in caller.scopes else None

    def _refusal(self) -> tuple[int, bytes, bytes]:
        permits = self._serving.permits
        written = envelope(permits.refusal())
        if len(self._refusals) >= MOST_REFUSALS:
            self._refusals.clear()
        lines = head_lines(pair for pair in written.raw_headers if pair[0] != b"content-length")
        kept = self._refusals[permits.taken] = written.status_code, lines, bytes(written.body)
        return kept

    def _answer(self) -> None:
        """All questions of the turn, those to one model together."""
        turn, self._turn = self._turn, []
        together: dict[tuple[Predictor, Operation], list[Question]] = {}
        for question in turn:
            if question.gone:
                self._serving.permits.give_back()
            else:
                together.setdefault((question.predictor, question.head.operation), []).append(question)
        for (predictor, operation), questions in together.items():
            try:
                self._compute(predictor, operation, questions)
            except Exception:  # each alone then, so that only a bad one fails, and under its name
                for question in questions:
                    if not question.work:
                        self._carefully(question)

    def _compute(self, predictor: Predictor, operation: Operation, questions: list[Question]) -> None:
        rows = [question.rows for question in questions]
        inputs = predictor.encode(np.concatenate(rows) if len(rows) > 1 else rows[0])
        encoded = time.perf_counter()
        sizes = [len(part) for part in rows]
        parts = _parts(inputs, sizes)
        whole = predictor.batcher.answer_here(operation.ability, inputs)
        if whole is None:
            for question, given in zip(questions, parts, strict=True):
                question.work = work = predictor.batcher.put(operation.ability, given)
                work.future.add_done_callback(partial(self._finish, question, work, given, encoded))
            return
        whole.future.result()
        outputs, first = whole.outputs, 0
        answered: list[Answered] = []
        for question, given, size in zip(questions, parts, sizes, strict=True):
            question.work = whole
            answered += self._respond(question, given, outputs[first : first + size], whole, encoded)
            first += size
        self._count(predictor, operation, answered)

    def _finish(self, question: Question, work: Work, given: Tensors, encoded: float, future: Any) -> None:
        if question.gone:
            self._serving.permits.give_back()
        elif future.exception() is not None:
            self._carefully(question)
        else:
            answered = self._respond(question, given, work.outputs, work, encoded)
            self._count(question.predictor, question.head.operation, answered)

    def _respond(
        self, question: Question, given: Tensors, outputs: NDArray[np.float32], work: Work, encoded: float
    ) -> list[Answered]:
        """Writes the answer, and gives what is to be counted; nothing where it cannot be told this way."""
        head, predictor = question.head, question.predictor
        try:
            if not work.finite:
                predictor.check_finite(outputs)
            content, about = predictor.render(head.operation, question.request, given, outputs, head.pack)
        except Exception:
            self._carefully(question)
            return []
        queued = question.waited + work.started_at - work.queued_at
        timings = Timings(encoded - question.began, queued, work.seconds)
        told = head_lines(about), server_timing(timings), head.request_id or request_id()
        self._serving.permits.give_back()
        question.asker.respond(200, b"%bserver-timing: %b\r\nx-request-id: %b\r\n" % told, content)
        return [(len(outputs), timings, question.waited + time.perf_counter() - question.began)]

    def _count(self, predictor: Predictor, operation: Operation, answered: list[Answered]) -> None:
        if answered:
            rows, timings, seconds = zip(*answered, strict=True)
            predictor.count(sum(rows), *timings)
            self._telemetry.requests("POST", operation.path, 200, *seconds)

    def _carefully(self, question: Question) -> None:
        self._serving.permits.give_back()
        question.asker.carefully(question.data)


def head_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in the head of an answer."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def _parts(inputs: Tensors, sizes: list[int]) -> list[Tensors]:
    """Every question's rows."""
    if len(sizes) == 1:
        return [inputs]
    split = {name: torch.split(tensor, sizes) for name, tensor in inputs.items()}
    return [{name: pieces[place] for name, pieces in split.items()} for place in range(len(sizes))]
