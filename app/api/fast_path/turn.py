"""What is read together on the fast path (`lane`) is computed and answered together, up to a size.

A turn lasts as long as questions keep coming while others are read: nobody waits for more, and yet fewer turns, each of
which costs as much as several questions, serve as many. Knows no key and no socket.
"""

import asyncio
import time
from functools import partial
from typing import Any

import numpy as np

from app.api.fast_path.heads import Head
from app.api.fast_path.question import Alike, Question, part_of, parts
from app.api.middleware import request_id
from app.api.response_bodies import head_lines, server_timing
from app.api.telemetry import Telemetry
from app.ml.inference.admission import Permits
from app.ml.inference.batch_size import FEW
from app.ml.inference.counters import Timings
from app.ml.inference.predictor import Predictor
from app.ml.inference.work import Answers, Work
from app.ml.operations.base import Operation
from app.ml.tensors.shapes import as_tensors


class Turn:
    """The questions of one process that have been read and not answered. For the event loop's thread only."""

    def __init__(self, permits: Permits, telemetry: Telemetry) -> None:
        self._permits, self._telemetry = permits, telemetry
        self._came: dict[tuple[Head, int], Alike] = {}
        """By head and by the options' identity."""
        self._cost = 0
        """Of those."""
        self._full = self._ends = False
        permits.hurry = self._answer

    def like(self, head: Head, request: Any) -> Alike | None:
        """The questions with that head and those options, where there are some and there is room for more."""
        if self._full:
            self._answer()
        return self._came.get((head, id(request)))

    def add(self, alike: Alike, question: Question) -> None:
        """It will be answered. There must be a permit for it."""
        if not alike.questions:
            if not self._ends:
                self._ends = True
                asyncio.get_running_loop().call_soon(self._end, 0)  # behind all that is ready now
            self._came[alike.head, id(alike.request)] = alike
        alike.questions.append(question)
        cost, here = question.cost, alike.predictor.batcher.here
        self._cost += cost
        self._full = self._cost >= alike.full or FEW * cost <= here < self._cost + cost
        self._permits.take()

    def _end(self, seen: int) -> None:
        """Answers, unless others have come since so much was `seen`: then more may be about to ask, too."""
        if self._cost not in (0, seen):
            asyncio.get_running_loop().call_soon(self._end, self._cost)
        else:
            self._ends = False
            self._answer()

    def _answer(self) -> None:
        """All questions of the turn, those to one model together."""
        came, self._came, self._cost, self._full = self._came, {}, 0, False
        together: dict[tuple[Predictor, Operation], list[Alike]] = {}
        for alike in came.values():
            asked_still = [question for question in alike.questions if not question.gone]
            self._permits.give_back(len(alike.questions) - len(asked_still))
            alike.questions = asked_still
            if asked_still:
                together.setdefault((alike.predictor, alike.head.operation), []).append(alike)
        for (predictor, operation), group in together.items():
            try:
                answers = self._computed(predictor, operation, group)
            except Exception:  # each alone then, so that only a bad one fails, and under its name
                for alike in group:
                    self._carefully(alike)
                continue
            for alike, part in parts(group):
                if answers is None:
                    self._queue(alike)
                else:
                    self._tell(alike, answers.part(part))

    def _computed(self, predictor: Predictor, operation: Operation, group: list[Alike]) -> Answers | None:
        """The answers to all of them; None where they are to be left to the model's thread. Raises what goes wrong."""
        items = [alike.items() for alike in group]
        inputs = predictor.reading.encode(np.concatenate(items) if len(items) > 1 else items[0])
        encoded_at = time.perf_counter()
        for alike, part in parts(group):
            alike.given, alike.encoded_at = part_of(inputs, part), encoded_at
        return predictor.answer_here(operation.ability, inputs)

    def _queue(self, alike: Alike) -> None:
        """Leaves them to the model's thread, each by itself."""
        for alone in alike.each():
            [question] = alone.questions
            question.work = work = alone.predictor.batcher.put(alone.head.operation.ability, as_tensors(alone.given))
            work.future.add_done_callback(partial(self._finish, alone, work))

    def _finish(self, alike: Alike, work: Work, future: Any) -> None:
        [question] = alike.questions
        if question.gone:
            self._permits.give_back()
        elif future.exception() is not None:
            self._carefully(alike)
        else:
            self._tell(alike, work.answers)

    def _tell(self, alike: Alike, answers: Answers) -> None:
        """Writes the answers and counts them; one that cannot be told this way fails alone."""
        questions = alike.questions
        try:
            if not answers.finite:
                alike.predictor.check_finite(answers.outputs)
            packed = alike.packed(answers.outputs)
        except Exception:
            if len(questions) == 1:
                self._carefully(alike)
                return
            for alone, part in parts(alike.each()):
                self._tell(alone, answers.part(part))
            return
        self._permits.give_back(len(questions))
        now = time.perf_counter()
        began, encoded_at = questions[0].began, alike.encoded_at
        timings = Timings(encoded_at - began, answers.started_at - encoded_at, answers.seconds)
        told: list[Timings] = []
        written: tuple[Any, float] | None = None
        for question, (content, about) in zip(questions, packed, strict=True):
            if (about, question.waited) != written:
                written = about, question.waited
                took = timings._replace(queue=question.waited + timings.queue)
                lines = b"%bserver-timing: %b\r\n" % (head_lines(about), server_timing(took))
                opening = question.asker.opening(200, lines)
            question.asker.respond(opening, alike.head.request_id or request_id(), content)
            told.append(took)
        alike.predictor.count(alike.count, *told)
        seconds = [question.waited + now - question.began for question in questions]
        self._telemetry.requests("POST", alike.head.operation.path, 200, *seconds)

    def _carefully(self, alike: Alike) -> None:
        self._permits.give_back(len(alike.questions))
        for question in alike.questions:
            question.asker.carefully(question.data)
