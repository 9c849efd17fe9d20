"""How bytes reach the application: the server's protocol, with the fast path before it.

A request that the lane (`lane`) takes never becomes a task of the server. Until it is answered it is at one
stage: its body is `Coming`, then it may stand `InLine` for a permit, then it is a `Question` of the lane. While no
request is at any, what comes begins one, or belongs to one that the server's own parser reads.
"""

import asyncio
import re
from typing import Any, ClassVar, Protocol, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.fast_path.bounded_heads import BoundedHeads
from app.api.fast_path.gathered import Gathered
from app.api.fast_path.heads import Head
from app.api.fast_path.lane import Lane
from app.api.receiving import PERMIT
from app.api.response_bodies import head_lines
from app.ml.inference.admission import Permit

PATIENCE_SECONDS = 0.05
"""A body that takes longer takes the slow path, which has a clock."""
LINGER_SECONDS = 0.2
"""So long an idle connection is kept when the server stops: what its client sends just then is still answered."""
MOST_BEHIND = 64 * 1024
"""Bytes of what is asked behind a request on the fast path; the connection is not read from beyond."""
UPGRADE = re.compile(rb"(?<=\r\n)upgrade:[^\r\n]*\r\n", re.IGNORECASE)


class Stage(Protocol):
    """How far a request on the fast path has come."""

    def received(self, data: bytes) -> None:
        """More has come by its connection."""

    def leave(self) -> None:
        """Its client has gone."""


class Gathering(BoundedHeads):
    """The server's protocol over a transport that gathers, with a lane where the application has one."""

    lane: Lane | None
    stage: Stage | None = None
    """That of the request on the fast path, where there is one."""
    _head: Head | None = None
    """That of the last request which the lane was asked."""
    _behind = b""
    """What came after the request on the fast path."""
    _last = False
    """True when the connection shall be closed behind the next answer."""
    _answered_at = 0.0
    _common: ClassVar[tuple[Any, bytes]] = None, b""
    """The server's own headers, which it makes anew every second, and how they are written."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.lane = getattr(self.app, "lane", None)
        self._gathered = Gathered(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathered))

    def data_received(self, data: bytes) -> None:
        if self.stage is not None:
            self.stage.received(data)
        elif self.lane is None or self._midway or not (self.cycle is None or self.cycle.response_complete):
            self._read(data)
        else:
            head = self._head = self.lane.head(data, self._head)
            if head is None or self.flow.write_paused:
                self._read(data)
            elif len(data) < head.size:
                self.stage = Coming(self, head, data)
            else:
                self.ask(head, data)

    def ask(self, head: Head, data: bytes) -> None:
        """Lets the lane answer a whole request, or the server where the lane cannot or more came with it."""
        assert self.lane is not None
        if len(data) > head.size:
            self.carefully(data)
        elif self.lane.must_wait(head):
            self.stage = InLine(self, self.lane, head, data)
        else:
            self.stage = self.lane.take(head, data, self)
            if self.stage is None:
                self.carefully(data)

    def keep(self, data: bytes) -> None:
        """Bytes behind the request on the fast path, until that is answered."""
        self._behind += data
        if len(self._behind) > MOST_BEHIND:
            self.flow.pause_reading()

    def opening(self, status: int, lines: bytes) -> bytes:
        """The head of an answer with `lines` in it, up to the request's id."""
        common = self.server_state.default_headers
        if self._common[0] is not common:
            Gathering._common = common, head_lines(tuple(common))
        return b"%b%b%bx-request-id: " % (STATUS_LINE[status], self._common[1], lines)

    def respond(self, opening: bytes, identity: bytes, content: bytes) -> None:
        """Writes the answer to the request on the fast path, and goes on with what came behind it."""
        self.stage = None
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
            behind, self._behind = self._behind, b""
            self.flow.resume_reading()
            self.data_received(behind)

    def carefully(self, data: bytes, permit: Permit | None = None) -> None:
        """Gives the server what the lane cannot answer, with the permit that it has got, and what came behind it."""
        self.stage = None
        if self.transport.is_closing():
            return
        self._read(data)
        if permit is not None:
            self.scope["state"][PERMIT] = permit
        if self._behind:
            behind, self._behind = self._behind, b""
            self._read(behind)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.stage is not None:
            self.stage.leave()
            self.stage = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        self._last = True
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
        else:
            self.loop.call_later(LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        if self.stage is None and not self.transport.is_closing():
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection. The lane's answers do not set the clock anew each time, so it looks here."""
        wait = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self.stage is None and wait <= 0:
            super().timeout_keep_alive_handler()
        else:
            again = max(wait, 1.0)
            self.timeout_keep_alive_task = self.loop.call_later(again, self.timeout_keep_alive_handler)

    def _read(self, data: bytes) -> None:
        """Gives the server's parser what arrived."""
        super().data_received(data if self._midway else without_upgrade(data))
        if self._last and self.cycle is not None:
            self.cycle.keep_alive = False


class Coming:
    """A request whose head the lane knows and whose body has not all come."""

    def __init__(self, wire: Gathering, head: Head, data: bytes) -> None:
        self._wire, self._head, self._data = wire, head, bytearray(data)
        self._clock = wire.loop.call_later(PATIENCE_SECONDS, self._give_up)

    def received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) >= self._head.size:
            self._clock.cancel()
            self._wire.ask(self._head, bytes(self._data))

    def leave(self) -> None:
        self._clock.cancel()

    def _give_up(self) -> None:
        self._wire.carefully(bytes(self._data))


class InLine:
    """A whole request that waits for a permit."""

    def __init__(self, wire: Gathering, lane: Lane, head: Head, data: bytes) -> None:
        self._wire, self._lane, self._head = wire, lane, head
        self._place = lane.line_up(head, self)
        self._data = data if self._place.hopeful else b""

    def received(self, data: bytes) -> None:
        self._wire.keep(data)

    def leave(self) -> None:
        self._place.leave()

    def admitted(self, waited: float) -> None:
        if self._wire.transport.is_closing():
            return
        self._wire.stage = self._lane.take(self._head, self._data, self._wire, waited)
        if self._wire.stage is None:
            self._wire.carefully(self._data, self._lane.permit(waited))

    def refused(self, waited: float) -> None:
        if not self._wire.transport.is_closing():
            self._lane.refuse(self._head, self._wire, waited)


def without_upgrade(data: bytes) -> bytes:
    """A request whose client would rather speak another protocol, without that wish.

    Java's client asks for HTTP/2 unless told otherwise, and the parser would take the body that follows for HTTP/2.
    """
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[: end + 2]
    return UPGRADE.sub(b"", head) + data[len(head) :] if UPGRADE.search(head) else data
