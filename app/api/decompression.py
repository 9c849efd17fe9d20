"""Bodies that come packed with gzip or deflate (RFC 1950, 1952), unpacked while they arrive. Knows no route.

A small body may hold a thousand times as much: it is unpacked piece by piece, and whoever reads it counts the pieces.
"""

import asyncio
import zlib

from starlette.types import Message, Receive

from app.errors import Malformed

PACKINGS = ("gzip", "x-gzip", "deflate")
PIECE_BYTES = 256 * 1024
"""Most that is unpacked in one step."""
LARGE_BYTES = 16 * 1024
"""Packed bytes beyond which, and pieces behind the first, are unpacked off the event loop."""
EITHER = 32 + zlib.MAX_WBITS
"""zlib tells the two apart by their first bytes."""


class Unpacked:
    """A `receive` that gives the unpacked body of what another one gives."""

    def __init__(self, receive: Receive, packing: str) -> None:
        self._receive, self._packing = receive, packing
        self._inflating = zlib.decompressobj(EITHER)
        self._packed = b""
        """What has come and was not looked at."""
        self._full = False
        """Whether the last piece was as large as may be: there may be more of it."""
        self._begun = False
        """Whether there was anything to unpack."""
        self._more = True
        """Whether more is to come."""
        self._ended = False
        """Whether the last piece has been given."""

    async def __call__(self) -> Message:
        """The next piece. Raises Malformed where the body cannot be unpacked or ends too early."""
        if self._ended:
            return await self._receive()  # which waits until the client leaves
        while self._more and not (self._packed or self._full):
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._packed, self._more = message.get("body", b""), message.get("more_body", False)
        piece = b""
        if self._packed or self._full:
            here = not self._full and len(self._packed) <= LARGE_BYTES
            piece = self._step() if here else await asyncio.to_thread(self._step)
        more = self._more or self._full or bool(self._packed)
        if not more and self._begun and not self._inflating.eof:
            raise Malformed(f"content-encoding: the body ends before its {self._packing} is complete")
        self._ended = not more
        return {"type": "http.request", "body": piece, "more_body": more}

    def _step(self) -> bytes:
        self._begun = True
        if self._inflating.eof:  # packed files may stand one behind the other
            self._inflating = zlib.decompressobj(EITHER)
        try:
            piece = self._inflating.decompress(self._packed, PIECE_BYTES)
        except zlib.error as error:
            raise Malformed(f"content-encoding: the body is no {self._packing}: {error}") from None
        ended = self._inflating.eof
        self._packed = self._inflating.unused_data if ended else self._inflating.unconsumed_tail
        self._full = not ended and len(piece) == PIECE_BYTES
        return piece
