"""The heads of requests that may take the fast path (`lane`): each is read once, and known by its bytes then.

Knows no model and no connection.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httptools

from app.api import request_bodies
from app.api.middleware import request_id
from app.api.response_bodies import Packed, binary, packer
from app.errors import RootstockError
from app.ml.operations.base import Operation

READ_HERE = ("authorization", "content-length", "content-type", "accept", "x-request-id")
CAREFUL = ("transfer-encoding", "expect", "upgrade", "content-encoding")
"""Headers that need more than an answer of known length on a connection that stays."""
MOST_HEADS, LONGEST_HEAD = 4096, 2048


@dataclass(frozen=True, eq=False, slots=True)
class Head:
    """What a request's head asks for, and so all requests with the same head."""

    text: bytes
    """The head itself, with its empty line."""
    operation: Operation
    secret: str
    kind: str
    pack: Callable[[dict[str, Any]], Packed]
    binary: str | None
    """The type of an answer of numbers alone, where that is wanted."""
    options: Any
    """The request beside raw numbers, whose options stand in the address; None for JSON."""
    request_id: bytes | None
    end: int
    """Bytes of the head."""
    size: int
    """Bytes of head and body."""


class Heads:
    """The heads that this process has read."""

    def __init__(self, operations: Mapping[str, Operation], max_body_bytes: int, careful: Collection[str] = ()) -> None:
        """`operations` are known by their paths; larger bodies and heads with one of `careful` take the slow path."""
        self._operations, self._max_body_bytes = operations, max_body_bytes
        self._careful = frozenset((*CAREFUL, *careful))
        self._known: dict[bytes, Head | None] = {}

    def find(self, data: bytes, last: Head | None = None) -> Head | None:
        """The head that `data` begins with, likely the client's `last`, where its request may take the fast path."""
        if last is not None and data.startswith(last.text):
            return last
        end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD) + 4
        if end < 4 or not data.startswith(b"POST "):
            return None
        key = data[:end]
        try:
            return self._known[key]
        except KeyError:
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            found = self._known[key] = self._read(key)
            return found

    def _read(self, head: bytes) -> Head | None:
        target = head[5 : head.find(b" ", 5)]
        path, _, query = target.partition(b"?")
        operation = self._operations.get(str(path, "latin-1"))
        reading = _Reading()
        parser = httptools.HttpRequestParser(reading)
        if operation is None or b"%00" in query:
            return None
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        said = dict(reading.headers)
        if len(said) != len(reading.headers) or not self._careful.isdisjoint(said):
            return None
        stays = said.get("connection", "keep-alive").lower() == "keep-alive"
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive() or not stays:
            return None
        authorization, length, kind, accept, given = (said.get(name, "") for name in READ_HERE)
        scheme, _, secret = authorization.partition(" ")
        kind = kind.partition(";")[0].strip().lower()
        if (
            scheme != "Bearer"
            or not length.isdigit()
            or int(length) > self._max_body_bytes
            or kind == request_bodies.FORM
        ):
            return None
        options = None
        if kind in (request_bodies.RAW, request_bodies.NPY):
            try:
                options = request_bodies.validated(
                    operation, {**request_bodies.options(operation, query), request_bodies.INPUT: None}
                )
            except RootstockError:
                return None
        named = request_id(given) if given else None
        size = len(head) + int(length)
        pack = packer(operation, accept)
        return Head(head, operation, secret, kind, pack, binary(accept), options, named, len(head), size)


class _Reading:
    """What httptools tells of a head."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((str(name, "latin-1").lower(), str(value, "latin-1")))
