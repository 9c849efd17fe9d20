"""The short way: a question that arrives whole, is made of numbers, and asks a model at hand.

No task, no message and no future is made for it. What arrives in one turn of the event loop is read, computed and
answered together; a head that was read before is known by its bytes. Everything else, whatever is wrong with a question
included, is left as it came to the careful way (`app.api.inference`), whose errors have names: the short way answers
200, or 429 where no permit came in time. Knows no socket.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import numbers
from app.api import asked
from app.api.envelope import answer as envelope
from app.api.heads import Head, Heads
from app.api.middleware import request_id
from app.api.packing import head_lines, server_timing
from app.api.question import Asker, Question
from app.api.telemetry import Telemetry
from app.errors import RootstockError
from app.ml.admission import Permit, Place
from app.ml.counters import Timings
from app.ml.modalities.base import Arrays, as_tensors
from app.ml.operations.base import Operation
from app.ml.predictor import MANY, Predictor
from app.ml.work import Answers, Work
from app.registry.keys import Caller
from app.serving import Serving
from app.settings import Settings

MOST_REFUSALS = 64
LARGEST = 1024 * 1024
"""Bodies beyond this are worked on off the event loop."""


Answered = tuple[int, Timings, float]
"""Rows of an answered question, where its time went, and how long it took."""


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
        lines = head_lines(tuple(pair for pair in written.raw_headers if pair[0] != b"content-length"))
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
            rows = [question.rows for question in questions]
            try:
                inputs = predictor.encode(np.concatenate(rows) if len(rows) > 1 else rows[0])
                encoded = time.perf_counter()
                answers = predictor.answer_here(operation.ability, inputs)
            except Exception:  # each alone then, so that only a bad one fails, and under its name
                for question in questions:
                    self._carefully(question)
                continue
            if answers is None:
                self._queue(questions, inputs, encoded)
            else:
                self._tell(questions, inputs, encoded, answers)

    def _tell(self, questions: list[Question], inputs: Arrays, encoded: float, answers: Answers) -> None:
        """Writes what was computed together; where the time went was for all the same."""
        timings = Timings(encoded - questions[0].began, answers.started_at - encoded, answers.seconds)
        answered = list[Answered]()
        for question, part in _parts(questions):
            given = {name: array[part] for name, array in inputs.items()}
            answered += self._respond(question, given, answers.outputs[part], answers.finite, timings)
        self._count(questions[0], answered)

    def _queue(self, questions: list[Question], inputs: Arrays, encoded: float) -> None:
        """Leaves them to the model's thread, each by itself."""
        for question, part in _parts(questions):
            given = {name: array[part] for name, array in inputs.items()}
            question.work = work = question.predictor.batcher.put(question.head.operation.ability, as_tensors(given))
            work.future.add_done_callback(partial(self._finish, question, work, given, encoded))

    def _finish(self, question: Question, work: Work, given: Arrays, encoded: float, future: Any) -> None:
        if question.gone:
            self._serving.permits.give_back()
        elif future.exception() is not None:
            self._carefully(question)
        else:
            timings = Timings(encoded - question.began, work.started_at - work.queued_at, work.seconds)
            answered = self._respond(question, given, work.outputs, work.finite, timings)
            self._count(question, answered)

    def _respond(
        self, question: Question, given: Arrays, outputs: NDArray[np.float32], finite: bool, timings: Timings
    ) -> list[Answered]:
        """Writes the answer, and gives what is to be counted; nothing where it cannot be told this way."""
        try:
            if not finite:
                question.predictor.check_finite(outputs)
            content, about = question.packed(given, outputs)
        except Exception:
            self._carefully(question)
            return []
        if question.waited:
            timings = timings._replace(queue=question.waited + timings.queue)
        told = head_lines(about), server_timing(timings), question.head.request_id or request_id()
        self._serving.permits.give_back()
        question.asker.respond(200, b"%bserver-timing: %b\r\nx-request-id: %b\r\n" % told, content)
        return [(len(outputs), timings, question.waited + time.perf_counter() - question.began)]

    def _count(self, alike: Question, answered: list[Answered]) -> None:
        if answered:
            rows, timings, seconds = zip(*answered, strict=True)
            alike.predictor.count(sum(rows), *timings)
            self._telemetry.requests("POST", alike.head.operation.path, 200, *seconds)

    def _carefully(self, question: Question) -> None:
        self._serving.permits.give_back()
        question.asker.carefully(question.data)


def _parts(questions: list[Question]) -> Iterator[tuple[Question, slice]]:
    """Each with where its rows lie among those of all."""
    first = 0
    for question in questions:
        last = first + len(question.rows)
        yield question, slice(first, last)
        first = last
