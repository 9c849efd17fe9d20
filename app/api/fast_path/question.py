"""A question on the fast path (`lane`), those that are alike, and the connection of one. Knows no socket."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.api import request_bodies
from app.api.fast_path.heads import Head
from app.api.response_bodies import Packed, as_bytes, in_parts
from app.ml.inference.predictor import Predictor
from app.ml.inference.work import Work
from app.ml.tensors.shapes import Arrays


class Asker(Protocol):
    """The connection that a question came by."""

    def opening(self, status: int, lines: bytes) -> bytes:
        """The head of an answer with `lines` in it, up to the request's id."""

    def respond(self, opening: bytes, identity: bytes, content: bytes) -> None:
        """Writes the answer to the request of that id; the next question may come."""

    def carefully(self, data: bytes) -> None:
        """Takes the slow path with the whole request `data`."""

    def keep(self, data: bytes) -> None:
        """Keeps what comes behind the question until that is answered."""


@dataclass(eq=False, slots=True)
class Question:
    """One request on the fast path."""

    asker: Asker
    data: bytes
    """Head and body."""
    rows: NDArray[Any] | None
    """[B, W]; None where they are to be taken from `data` as they stand there."""
    count: int
    """B"""
    waited: float
    """For a permit, in seconds."""
    began: float
    work: Work | None = None
    gone: bool = False

    def received(self, data: bytes) -> None:
        """What comes behind it waits."""
        self.asker.keep(data)

    def leave(self) -> None:
        """Its client has gone: nobody needs the answer."""
        self.gone = True
        if self.work is not None:
            self.work.future.cancel()


@dataclass(eq=False, slots=True)
class Alike:
    """Questions with one head and the same options: they differ in their numbers alone."""

    head: Head
    request: Any
    predictor: Predictor
    width: int
    """W"""
    most: int
    """Rows that each may have."""
    raw_count: int
    """Rows of each where they stand in the body as they are; 0 where it does not hold whole ones."""
    questions: list[Question] = field(default_factory=list)
    given: Arrays = field(default_factory=dict)
    """The rows of all as the network reads them, once they are encoded."""
    encoded_at: float = 0.0

    def rows(self) -> NDArray[Any]:
        """Those of all, [B, W]."""
        if self.head.kind == request_bodies.RAW:
            body = slice(self.head.end, None)
            return request_bodies.raw(b"".join([each.data[body] for each in self.questions]), self.width)
        rows = [each.rows for each in self.questions if each.rows is not None]
        return np.concatenate(rows) if len(rows) > 1 else rows[0]

    @property
    def count(self) -> int:
        """B"""
        return sum(question.count for question in self.questions)

    def each(self) -> "list[Alike]":
        """Each question by itself, with its rows."""
        return [
            replace(self, questions=[question], given=part_of(self.given, part))
            for question, part in parts(self.questions)
        ]

    def packed(self, outputs: NDArray[np.float32]) -> list[Packed]:
        """The answers that the outputs [B, …] make. Raises what is wrong with the request for this model."""
        head, predictor = self.head, self.predictor
        plain = None if head.binary is None else predictor.plain(head.operation, self.request, outputs)
        if plain is None or head.binary is None:
            return [
                predictor.render(head.operation, self.request, part_of(self.given, part), outputs[part], head.pack)
                for _, part in parts(self.questions)
            ]
        if head.kind == request_bodies.RAW:  # all are of one length, and so of equally many rows
            return in_parts(plain, head.binary, predictor.reference, len(self.questions))
        return [as_bytes(plain[part], head.binary, predictor.reference) for _, part in parts(self.questions)]


Counted = TypeVar("Counted", Question, Alike)


def parts(counted: Iterable[Counted]) -> Iterator[tuple[Counted, slice]]:
    """Questions, or those that are alike, each with where its rows lie among those of all."""
    first = 0
    for each in counted:
        last = first + each.count
        yield each, slice(first, last)
        first = last


def part_of(arrays: Arrays, part: slice) -> Arrays:
    """Some of their rows."""
    return {name: array[part] for name, array in arrays.items()}
