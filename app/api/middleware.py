"""Pure ASGI layers around all routes: a request id, measured times, a last net for bugs; and a bound on bodies."""

import asyncio
import itertools
import logging
import os
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.decompression import PACKINGS, Unpacked
from app.api.envelope import answer
from app.api.telemetry import Telemetry
from app.errors import Internal, Malformed, PackedBody, RootstockError, TooLarge

log = logging.getLogger(__name__)

USABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNREAD = re.compile(r"compress|br|zstd|.*,.*")
"""Content encodings that are refused. Others are not known to anybody, and some clients name the charset there."""
FORM_OVERHEAD = 1024 * 1024
"""What a multipart body may hold beside its file: boundaries, headers, fields."""

_numbers = itertools.count(int.from_bytes(os.urandom(12)))
"""Of this process's request ids: 96 random bits, and on from there, since asking the system each time costs more."""


class RequestContext:
    """Gives every reply an `x-request-id` (the client's own where it is usable) and counts it.

    Anything unexpected becomes a 500 envelope and a trace in the log; once an answer has begun, the connection breaks.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self.app = app
        self.telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identity = request_id(header(scope, b"x-request-id"))
        began = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity)]
            await send(message)

        try:
            if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
                refusal = Malformed("the address holds the character U+0000, which no name here contains")
                await answer(refusal, scope["path"])(scope, receive, send_with_id)
            else:
                await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("%s %s failed; request id %s", scope["method"], scope["path"], identity.decode())
            if status:
                raise
            bug = Internal(f"this is a bug on the server; its log has the trace under request id {identity.decode()}")
            await answer(bug, scope["path"])(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            self.telemetry.requests(scope["method"], route, status, time.perf_counter() - began)


class BodyLimit:
    """Refuses a body with 413 as soon as it is known to be too large: by its announced length, or while it streams.

    One that is packed is unpacked on the way, and its bound is of what comes out.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_file_bytes: int, streamed: re.Pattern[str]) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_file_bytes = max_file_bytes
        self.streamed = streamed
        """Paths whose multipart bodies go to storage while they arrive, so that they may be as large as a file."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        packing = header(scope, b"content-encoding").strip().lower()
        is_form = header(scope, b"content-type").lower().startswith("multipart/form-data")
        is_file = is_form and self.streamed.fullmatch(scope["path"]) is not None
        limit = self.max_file_bytes + FORM_OVERHEAD if is_file else self.max_body_bytes
        announced = header(scope, b"content-length")
        refusal: RootstockError | None = None
        if UNREAD.fullmatch(packing):
            refusal = PackedBody(f"content-encoding: {packing!r} is not read; pack with gzip or deflate, or not at all")
        elif announced.isdigit() and int(announced) > limit:
            refusal = too_large(int(announced), limit, is_file)
        arrived = 0
        source = Unpacked(receive, packing) if packing in PACKINGS else receive

        async def receive_within_limit() -> Message:
            nonlocal arrived
            if refusal is not None:
                raise refusal  # to the route, whose clients know errors of its own shape
            message = await source()
            arrived += len(message.get("body", b""))
            if arrived > limit:
                raise too_large(arrived, limit, is_file)
            return message

        await self.app(scope, receive_within_limit, send)


def without_content(app: ASGIApp) -> ASGIApp:
    """`app` for HEAD: the head of what it answers to GET. For `app` the client leaves once it has that, so that a long
    content is not read to its end, and a stream without end has one."""

    async def answer_head(scope: Scope, receive: Receive, send: Send) -> None:
        told = asyncio.Event()
        asked = False

        async def receive_until_told() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return await receive()
            await told.wait()
            return {"type": "http.disconnect"}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                told.set()

        await app({**scope, "method": "GET"}, receive_until_told, send_head)
        await send({"type": "http.response.body", "body": b""})

    return answer_head


def request_id(given: str = "") -> bytes:
    """The client's own where it is usable, else a new one."""
    return given.encode() if given and USABLE_ID.fullmatch(given) else b"req-%024x" % next(_numbers)


def header(scope: Scope, name: bytes) -> str:
    """The first header of that name, in lower case; empty when there is none."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def too_large(size: int, limit: int, is_file: bool) -> RootstockError:
    if is_file:
        return TooLarge(
            f"the upload has {size} bytes or more; at most {limit - FORM_OVERHEAD} are accepted", param="file"
        )
    return TooLarge(f"the body has {size} bytes or more; at most {limit} are accepted")
