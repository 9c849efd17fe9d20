"""What is read together on the short way (`app.api.lane`) is computed and answered together, up to a size.

A turn lasts as long as questions keep coming while others are read: nobody waits for more, and yet fewer turns, each of
which costs as much as several questions, serve as many. Knows no key and no socket.
"""

import asyncio
import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.heads import Head
from app.api.middleware import request_id
from app.api.question import Alike, Question, part_of, parts
from app.api.response_bodies import head_lines, server_timing
from app.api.telemetry import Telemetry
from app.ml.inference.admission import Permits
from app.ml.inference.counters import Timings
from app.ml.inference.predictor import Predictor
from app.ml.inference.work import Answers, Work
from app.ml.operations.base import Operation
from app.ml.tensors.shapes import Arrays, as_tensors

FULL = 128 * 1024
"""Numbers of a turn that are answered before more are read: what waits for others leaves the processor's cache."""

Answered = tuple[int, Timings, float]
"""Rows of an answered question, where its time went, and how long it took."""


class Turn:
    """The questions of one process that have been read and not answered. For the event loop's thread only."""

    def __init__(self, permits: Permits, telemetry: Telemetry) -> None:
        self._permits, self._telemetry = permits, telemetry
        self._came: dict[tuple[Head, int], Alike] = {}
        """By head and by the options' identity."""
        self._numbers = 0
        """In those."""

    def begin(self) -> None:
        """Makes room for a question."""
        if self._numbers >= FULL:
            self._answer()

    def like(self, head: Head, request: Any) -> Alike | None:
        """The questions with that head and those options, where there are some."""
        return self._came.get((head, id(request)))

    def add(self, alike: Alike, question: Question) -> None:
        """It will be answered. There must be a permit for it."""
        if not self._came:
            asyncio.get_running_loop().call_soon(self._end, 0)  # behind all that is ready now
        alike.questions.append(question)
        self._came[alike.head, id(alike.request)] = alike
        self._numbers += question.count * alike.width
        self._permits.take()

    def _end(self, seen: int) -> None:
        """Answers, unless more has come since so many numbers were `seen`: then others may be about to ask, too."""
        if self._numbers > seen:
            asyncio.get_running_loop().call_soon(self._end, self._numbers)
        else:
            self._answer()

    def _answer(self) -> None:
        """All questions of the turn, those to one model together."""
        came, self._came, self._numbers = self._came, {}, 0
        together: dict[tuple[Predictor, Operation], list[Alike]] = {}
        for alike in came.values():
            asked_still = [question for question in alike.questions if not question.gone]
            self._permits.give_back(len(alike.questions) - len(asked_still))
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
            self._permits.give_back()
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
        self._permits.give_back(len(questions))
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
        self._permits.give_back(len(alike.questions))
        for question in alike.questions:
            question.asker.carefully(question.data)
