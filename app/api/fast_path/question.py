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

FULL = 128 * 1024
"""Numbers of a turn that are answered before more are read: what waits for others leaves the processor's cache."""
FULL_OF_TEXT = 2 * 1024
"""The same of tokens: to cut texts into so many takes about a millisecond, in which nothing else is read."""
PER_TOKEN = 4
"""Characters, about."""
NONE = 0, 0


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
    items: NDArray[Any] | None
    """Numbers [B, W] or texts [B]; None where they are to be taken from `data` as they stand there."""
    count: int
    """B"""
    cost: int
    """About how many numbers or tokens the network reads."""
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
    """Questions with one head and the same options: they differ in their items alone."""

    head: Head
    request: Any
    predictor: Predictor
    width: int | None
    """W; None where the model reads texts."""
    most: int
    """Items that each may have."""
    raw_size: tuple[int, int]
    """What `size` says of each body where that is the numbers as they are; none where it does not hold whole rows."""
    questions: list[Question] = field(default_factory=list)
    given: Arrays = field(default_factory=dict)
    """The items of all as the network reads them, once they are encoded."""
    encoded_at: float = 0.0

    @property
    def full(self) -> int:
        """What the questions of a turn may cost."""
        return FULL if self.width else FULL_OF_TEXT

    def size(self, items: NDArray[Any] | None) -> tuple[int, int]:
        """How many items these, or those in each body, are and what they cost; none where the model reads others."""
        if items is None:
            return self.raw_size
        if self.width is not None:
            return (len(items), items.size) if items.ndim == 2 and items.shape[1] == self.width else NONE
        if items.dtype != object or not all(map(str.strip, items)):
            return NONE
        cost = sum(map(len, items)) // PER_TOKEN + 1
        return (len(items), cost) if cost <= FULL_OF_TEXT else NONE

    def items(self) -> NDArray[Any]:
        """Those of all, numbers [B, W] or texts [B]."""
        if self.head.kind == request_bodies.RAW:
            body = slice(self.head.end, None)
            return request_bodies.raw(b"".join([each.data[body] for each in self.questions]), self.width)
        items = [each.items for each in self.questions if each.items is not None]
        return np.concatenate(items) if len(items) > 1 else items[0]

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
