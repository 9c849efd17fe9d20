"""How bytes reach the application: the server's protocol, with the short way before it.

A request that the lane (`app.api.lane`) takes never becomes a task of the server.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.gathered import Gathered
from app.api.heads import Head
from app.api.lane import Lane
from app.api.question import Question
from app.api.receiving import PERMIT
from app.api.response_bodies import head_lines
from app.ml.inference.admission import Permit, Place

PATIENCE_SECONDS = 0.05
"""A body that takes longer goes the careful way, which has a clock."""
LINGER_SECONDS = 0.2
"""So long an idle connection is kept when the server stops: what its client sends just then is still answered."""
MOST_BEHIND = 64 * 1024
"""Bytes of what is asked behind a question that waits in line; the connection is not read from beyond."""
UPGRADE = re.compile(rb"(?<=\r\n)upgrade:[^\r\n]*\r\n", re.IGNORECASE)


class Gathering(HttpToolsProtocol):
    """Uvicorn's protocol over a transport that gathers, with a lane where the application has one."""

    lane: Lane | None
    _midway = False
    """True while the server's own parser is within a request."""
    _begun: "Begun | None" = None
    _head: Head | None = None
    """That of the last request which the lane was asked."""
    _question: Question | None = None
    """What the lane works on."""
    _behind = b""
    """What came after it."""
    _last = False
    """True when the connection shall be closed behind the next answer."""
    _answered_at = 0.0
    _waiting: "Waiting | None" = None
    """In line for a permit."""
    _permit: Permit | None = None
    """Got in line by a request that turned out to need care."""
    _common: ClassVar[tuple[Any, bytes]] = None, b""
    """The server's own headers, which it makes anew every second, and how they are written."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.lane = getattr(self.app, "lane", None)
        self._gathered = Gathered(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathered))

    def data_received(self, data: bytes) -> None:
        if self._begun is not None:
            self._begun.data += data
            if len(self._begun.data) >= self._begun.head.size:
                head, whole = self._begun.head, self._end_waiting()
                self._ask(head, whole)
        elif self._question is not None:
            self._behind += data
            self.flow.pause_reading()
        elif self._waiting is not None:
            self._behind += data
            if len(self._behind) > MOST_BEHIND:
                self.flow.pause_reading()
        elif self.lane is None or self._midway or not (self.cycle is None or self.cycle.response_complete):
            self._read(data)
        else:
            asked = self._head = self.lane.head(data, self._head)
            if asked is None or self.flow.write_paused:
                self._read(data)
            elif len(data) < asked.size:
                self._begun = Begun(asked, bytearray(data), self.loop.call_later(PATIENCE_SECONDS, self._give_over))
            else:
                self._ask(asked, data)

    def opening(self, status: int, lines: bytes) -> bytes:
        """The head of an answer with `lines` in it, up to the request's id."""
        common = self.server_state.default_headers
        if self._common[0] is not common:
            Gathering._common = common, head_lines(tuple(common))
        return b"%b%b%bx-request-id: " % (STATUS_LINE[status], self._common[1], lines)

    def respond(self, opening: bytes, identity: bytes, content: bytes) -> None:
        """Writes the answer to what the lane was asked."""
        self._question = None
        self._answered_at = self.loop.time()
        self.server_state.total_requests += 1
        ends = b"\r\nconnection: close" if self._last else b""
        parts = opening, identity, ends, len(content), content
        self._gathered.write_now(b"%b%b%b\r\ncontent-length: %d\r\n\r\n%b" % parts)
        if self._last:
            self.transport.close()
            return
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        if self._behind:
            self._go_on()

    def carefully(self, data: bytes) -> None:
        """Gives the server a whole request that the lane could not answer, and what came behind it."""
        self._question = None
        if not self.transport.is_closing():
            self._read(data + self._behind)
            self._behind = b""

    def admitted(self, waited: float) -> None:
        """Asks what it waits with."""
        assert self.lane is not None
        assert self._waiting is not None
        head, data, self._waiting = self._waiting.head, self._waiting.data, None
        if self.transport.is_closing():
            return
        self._question = self.lane.take(head, data, self, waited)
        if self._question is None:
            self._permit = self.lane.permit()
            self._permit.admitted(waited)
            self.carefully(data)

    def refused(self, waited: float) -> None:
        """Answers that there was no permit in time."""
        assert self.lane is not None
        assert self._waiting is not None
        head, self._waiting = self._waiting.head, None
        if not self.transport.is_closing():
            self.lane.refuse(head, self, waited)

    def on_message_begin(self) -> None:
        self._midway = True
        super().on_message_begin()
        if self._permit is not None:
            self.scope["state"][PERMIT], self._permit = self._permit, None

    def on_message_complete(self) -> None:
        self._midway = False
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._begun is not None:
            self._end_waiting()
        if self._question is not None:
            self._question.leave()
            self._question = None
        if self._waiting is not None:
            self._waiting.place.leave()
            self._waiting = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        else:
            self.loop.call_later(LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        busy = self._question is not None or self._waiting is not None or self._begun is not None
        if not busy and not self.transport.is_closing():
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection. The lane's answers do not set the clock anew each time, so it looks here."""
        wait = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self._question is None and self._begun is None and self._waiting is None and wait <= 0:
            super().timeout_keep_alive_handler()
        else:
            again = max(wait, 1.0)
            self.timeout_keep_alive_task = self.loop.call_later(again, self.timeout_keep_alive_handler)

    def _ask(self, head: Head, data: bytes) -> None:
        """Lets the lane answer a whole request, or the server where the lane cannot or more came with it."""
        assert self.lane is not None
        if len(data) == head.size:
            place = self.lane.line_up(head, self)
            if place is not None:
                self._waiting = Waiting(place, head, data if place.hopeful else b"")
                return
            self._question = self.lane.take(head, data, self)
            if self._question is not None:
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Gives the server's parser what arrived."""
        super().data_received(data if self._midway else without_upgrade(data))
        if self._last and self.cycle is not None:
            self.cycle.keep_alive = False

    def _end_waiting(self) -> bytes:
        """What has come of the request that had begun."""
        assert self._begun is not None
        self._begun.clock.cancel()
        data, self._begun = bytes(self._begun.data), None
        return data

    def _go_on(self) -> None:
        """With what came behind what has been answered."""
        behind, self._behind = self._behind, b""
        self.flow.resume_reading()
        self.data_received(behind)

    def _give_over(self) -> None:
        self._read(self._end_waiting())


def without_upgrade(data: bytes) -> bytes:
    """A request whose client would rather speak another protocol, without that wish.

    Java's client asks for HTTP/2 unless told otherwise, and the parser would take the body that follows for HTTP/2.
    """
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[: end + 2]
    return UPGRADE.sub(b"", head) + data[len(head) :] if UPGRADE.search(head) else data


@dataclass(slots=True)
class Begun:
    """A request whose head the lane knows and whose body has not all come."""

    head: Head
    data: bytearray
    clock: asyncio.TimerHandle


@dataclass(slots=True)
class Waiting:
    """A whole request in line for a permit."""

    place: Place
    head: Head
    data: bytes
