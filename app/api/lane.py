"""The short way: a question that arrives whole, is made of numbers, and asks a model at hand.

No task, no message and no future is made for it. What arrives in one turn of the event loop is read, computed and
answered together, up to a size; what its head asks for is looked up once a turn, and a head that was read before is
known by its bytes. Everything else, whatever is wrong with a question included, is left as it came to the careful way
(`app.api.inference`), whose errors have names: the short way answers 200, or 429 where no permit came in time. Knows no
socket.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import numbers
from app.api import asked
from app.api.heads import Head, Heads
from app.api.middleware import request_id
from app.api.packing import head_lines, server_timing
from app.api.question import Alike, Asker, Question, part_of, parts
from app.api.refusals import Refusals
from app.api.telemetry import Telemetry
from app.errors import RootstockError
from app.ml.inference.admission import Permit, Place
from app.ml.inference.counters import Timings
from app.ml.inference.work import Answers, Work
from app.ml.modalities.base import Arrays, as_tensors
from app.ml.operations.base import Operation
from app.ml.predictor import MANY, Predictor
from app.registry.keys import Caller
from app.serving import Serving
from app.settings import Settings

LARGEST = 1024 * 1024
"""Bodies beyond this are worked on off the event loop."""
FULL = 128 * 1024
"""Numbers of a turn that are answered before more are read: what waits for others leaves the processor's cache."""


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
        self._turn: dict[tuple[Head, int], Alike] = {}
        """What came in this turn of the event loop, by head and by the options' identity."""
        self._numbers = 0
        """In those."""
        self._refusals = Refusals(serving.permits)

    def take(self, head: Head, data: bytes, asker: Asker, waited: float = 0.0) -> Question | None:
        """The question in the whole request `data`, which will be answered; None for one to be read with care.

        There must be a permit for it; `waited` says for how long there was none.
        """
        if self._numbers >= FULL:
            self._answer()
        began = time.perf_counter()
        request, rows = head.options, None
        if head.kind != asked.RAW:
            read = self._read(head, data)
            if read is None:
                return None
            request, rows = read
        key = head, id(request)
        alike = self._turn.get(key)
        if alike is None:
            alike = self._alike(head, request)
            if alike is None:
                return None
        if rows is None:
            count = alike.raw_count
        elif rows.ndim == 2 and rows.shape[1] == alike.width:
            count = len(rows)
        else:
            return None
        if not 0 < count <= alike.most:
            return None
        if not self._turn:
            asyncio.get_running_loop().call_soon(self._answer)  # behind all that is ready now
        question = Question(asker, data, rows, count, waited, began)
        alike.questions.append(question)
        self._turn[key] = alike
        self._numbers += count * alike.width
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
        status, lines, content = self._refusals.now()
        asker.respond(asker.opening(status, lines), head.request_id or request_id(), content)
        self._telemetry.requests("POST", head.operation.path, status, waited)

    def permit(self) -> Permit:
        """One for who is to take the careful way."""
        return Permit(self._serving.permits)

    def _caller(self, head: Head) -> Caller | None:
        """Who has the head's key, where that is known here and the key lets its holder ask."""
        caller = self._serving.known(head.secret)
        return caller if caller is not None and "infer" in caller.scopes else None

    def _read(self, head: Head, data: bytes) -> tuple[Any, NDArray[Any]] | None:
        """Options and rows in a body; None where only the careful way can tell what it says."""
        if self._caller(head) is None:
            return None
        body = data[head.end :]
        if head.options is None:
            read = numbers.read(body, asked.INPUT)
            if read is None:
                return None
            request, rows = asked.remembered(head.operation, read[0]), read[1]
        else:
            try:
                request, rows = head.options, asked.npy(body)
            except RootstockError:
                return None
        return request, rows[None] if rows.ndim == 1 else rows

    def _alike(self, head: Head, request: Any) -> Alike | None:
        """For the questions of this turn with that head and those options; None where they are to be read with care."""
        caller = self._caller(head)
        if caller is None or request is None:
            return None
        predictor = self._serving.at_hand(caller.project_id, request.model)
        if predictor is None or predictor.row_numbers is None:
            return None
        answer = predictor.answer_numbers.get(head.operation.ability)
        if answer is None or predictor.asks_sides(request):
            return None
        most = min(self._max_inputs, MANY // answer)  # to render more would hold up the event loop
        count, more = divmod(head.size - head.end, 4 * predictor.row_numbers)
        return Alike(head, request, predictor, predictor.row_numbers, most, 0 if more else count)

    def _answer(self) -> None:
        """All questions of the turn, those to one model together."""
        turn, self._turn, self._numbers = self._turn, {}, 0
        together: dict[tuple[Predictor, Operation], list[Alike]] = {}
        for alike in turn.values():
            asked_still = [question for question in alike.questions if not question.gone]
            self._serving.permits.give_back(len(alike.questions) - len(asked_still))
            alike.questions = asked_still
            if asked_still:
                together.setdefault((alike.predictor, alike.head.operation), []).append(alike)
        for (predictor, operation), group in together.items():
            try:
                rows = [alike.rows() for alike in group]
                inputs = predictor.encode(np.concatenate(rows) if len(rows) > 1 else rows[0])
                encoded = time.perf_counter()
                answers = predictor.answer_here(operation.ability, inputs)
            except Exception:  # each alone then, so that only a bad one fails, and under its name
                for alike in group:
                    self._carefully(alike)
                continue
            if answers is None:
                self._queue(group, inputs, encoded)
            else:
                self._tell(group, inputs, encoded, answers)

    def _tell(self, group: list[Alike], inputs: Arrays, encoded: float, answers: Answers) -> None:
        """Writes what was computed together; where the time went was for all the same."""
        timings = Timings(encoded - group[0].questions[0].began, answers.started_at - encoded, answers.seconds)
        answered: list[Answered] = []
        for alike, part in parts(group):
            given = part_of(inputs, part)
            answered += self._respond(alike, given, answers.outputs[part], answers.finite, timings)
        self._count(group[0], answered)

    def _queue(self, group: list[Alike], inputs: Arrays, encoded: float) -> None:
        """Leaves them to the model's thread, each by itself."""
        for alone, part in parts([alone for alike in group for alone in alike.each()]):
            [question] = alone.questions
            given = part_of(inputs, part)
            question.work = work = alone.predictor.batcher.put(alone.head.operation.ability, as_tensors(given))
            work.future.add_done_callback(partial(self._finish, alone, work, given, encoded))

    def _finish(self, alike: Alike, work: Work, given: Arrays, encoded: float, future: Any) -> None:
        [question] = alike.questions
        if question.gone:
            self._serving.permits.give_back()
        elif future.exception() is not None:
            self._carefully(alike)
        else:
            timings = Timings(encoded - question.began, work.started_at - work.queued_at, work.seconds)
            self._count(alike, self._respond(alike, given, work.outputs, work.finite, timings))

    def _respond(
        self, alike: Alike, given: Arrays, outputs: NDArray[np.float32], finite: bool, timings: Timings
    ) -> list[Answered]:
        """Writes the answers, and gives what is to be counted; nothing where they cannot be told this way."""
        questions = alike.questions
        try:
            if not finite:
                alike.predictor.check_finite(outputs)
            packed = alike.packed(given, outputs)
        except Exception:
            if len(questions) == 1:
                self._carefully(alike)
                return []
            return [
                answered
                for alone, part in parts(alike.each())
                for answered in self._respond(alone, part_of(given, part), outputs[part], finite, timings)
            ]
        self._serving.permits.give_back(len(questions))
        now = time.perf_counter()
        answered: list[Answered] = []
        written: tuple[Any, Timings] | None = None
        for question, (content, about) in zip(questions, packed, strict=True):
            took = timings._replace(queue=question.waited + timings.queue) if question.waited else timings
            if (about, took) != written:
                written = about, took
                lines = b"%bserver-timing: %b\r\n" % (head_lines(about), server_timing(took))
                opening = question.asker.opening(200, lines)
            question.asker.respond(opening, alike.head.request_id or request_id(), content)
            answered.append((question.count, took, question.waited + now - question.began))
        return answered

    def _count(self, alike: Alike, answered: list[Answered]) -> None:
        if answered:
            rows, timings, seconds = zip(*answered, strict=True)
            alike.predictor.count(sum(rows), *timings)
            self._telemetry.requests("POST", alike.head.operation.path, 200, *seconds)

    def _carefully(self, alike: Alike) -> None:
        self._serving.permits.give_back(len(alike.questions))
        for question in alike.questions:
            question.asker.carefully(question.data)
