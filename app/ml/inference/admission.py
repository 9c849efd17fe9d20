"""Who is worked on: the permits of one process, and the line of those who wait for one.

Who finds no permit waits for a moment, and is refused only then: most waits end before, and a client that asks again at
once when it is refused cannot make the service spend its time on refusals. For the event loop's thread only.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from app.errors import Overloaded

WAIT_SECONDS = 0.04
"""From the arrival of a request that finds no permit until it is refused."""
GRAIN_SECONDS = 0.002
"""Requests whose waits end within so long are refused together: one clock serves all."""
EARLY_SECONDS = 0.001
"""By so much the event loop's clock may run ahead of the one that waits are measured by."""
DIGITS = 3
"""Of the seconds that somebody has waited: those who come in together are told and counted together then."""
ROOM_BYTES = 64 * 1024 * 1024
"""Bodies that wait in line. Who comes when there is no room waits as long, to be refused."""


class Waiter(Protocol):
    """Whoever waits for a permit. One of its methods is called, once."""

    def admitted(self, waited: float) -> None:
        """There is a permit for it, which it may take at once; else the next in line has it."""

    def refused(self, waited: float) -> None:
        """It has waited long enough, in seconds."""


@dataclass(eq=False, slots=True)
class Place:
    """A place in line."""

    waiter: Waiter | None
    """None once the wait is over."""
    since: float
    """By the monotonic clock."""
    size: int
    hopeful: bool
    """False where the wait can only end with a refusal: nobody needs the body."""

    def leave(self) -> None:
        """The waiter has gone."""
        self.waiter = None


class Permits:
    """How many requests of this process are worked on at once, and who waits for that."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.refused = 0
        self.hurry: Callable[[], None] = lambda: None
        """Answers who holds a permit and can be answered at once. Set by who gathers such requests."""
        self._line: deque[Place] = deque()
        self._places: deque[Place] = deque()
        """Those in line and those without hope, in the order in which their waits end."""
        self._size = 0
        self._admits = self._looks = False

    @property
    def full(self) -> bool:
        """Whether there is no permit now for who comes."""
        return self.taken >= self.limit or bool(self._line)

    def find(self) -> bool:
        """Whether there is a permit for who comes, once those have been answered who can be at once."""
        return not self._line and self._one_left()

    def take(self) -> None:
        """Takes a permit, which there must be."""
        self.taken += 1

    def give_back(self, count: int = 1) -> None:
        """Gives permits back."""
        self.taken -= count
        self._call()

    def check(self, size: int) -> None:
        """Raises Overloaded where not even the line has room for `size` bytes: who cannot be answered is not read."""
        if self.full and self._size + size > ROOM_BYTES:
            self.refused += 1
            raise self.refusal()

    def line_up(self, waiter: Waiter, size: int) -> Place:
        """A place in line for a request of `size` bytes."""
        hopeful = self._size + size <= ROOM_BYTES
        place = Place(waiter, time.monotonic(), size, hopeful)
        self._places.append(place)
        if hopeful:
            self._line.append(place)
            self._size += size
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(WAIT_SECONDS, self._look)
        self._call()
        return place

    def refusal(self) -> Overloaded:
        """What one is told for whom there was no permit."""
        return Overloaded(f"{self.taken} requests are waiting and at most {self.limit} may; try again in a second")

    def _call(self) -> None:
        """Lets the first in line in, where there is a permit, once what is ready now has been done."""
        if self._line and self.taken < self.limit and not self._admits:
            self._admits = True
            asyncio.get_running_loop().call_soon(self._admit)

    def _admit(self) -> None:
        self._admits = False
        now = time.monotonic()
        while self._line and self._one_left():
            place = self._leave_line()
            waiter, place.waiter = place.waiter, None
            if waiter is not None:
                waiter.admitted(round(now - place.since, DIGITS))

    def _one_left(self) -> bool:
        if self.taken >= self.limit:
            self.hurry()
        return self.taken < self.limit

    def _look(self) -> None:
        """Refuses who has waited long enough."""
        now = time.monotonic()
        while self._places and self._places[0].since + WAIT_SECONDS <= now + EARLY_SECONDS:
            place = self._places.popleft()
            waiter, place.waiter = place.waiter, None
            if waiter is not None:
                self.refused += 1
                waiter.refused(now - place.since)
        while self._line and self._line[0].waiter is None:
            self._leave_line()
        self._looks = bool(self._places)
        if self._looks:
            left = self._places[0].since + WAIT_SECONDS - now
            asyncio.get_running_loop().call_later(max(left, GRAIN_SECONDS), self._look)

    def _leave_line(self) -> Place:
        place = self._line.popleft()
        self._size -= place.size
        return place


class Permit:
    """That of one request. The end of its block gives it back, where it was got."""

    def __init__(self, permits: Permits) -> None:
        self.waited = 0.0
        """In line, in seconds."""
        self._permits = permits
        self._held = False
        self._answer: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._held:
            self._permits.give_back()

    async def get(self, size: int) -> None:
        """Waits in line where it must, with a body of `size` bytes. Raises Overloaded when that takes too long."""
        if self._held:
            return
        if self._permits.find():
            self.admitted(0.0)
            return
        self._answer = asyncio.get_running_loop().create_future()
        place = self._permits.line_up(self, size)
        try:
            await self._answer
        finally:
            place.leave()

    def admitted(self, waited: float) -> None:
        """It is held from now on."""
        self._permits.take()
        self._held, self.waited = True, waited
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def refused(self, waited: float) -> None:
        """Ends the wait."""
        self.waited = waited
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._permits.refusal())
