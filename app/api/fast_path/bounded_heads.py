"""Bounds what a request holds beside its body, and refuses what is no request in the words of all refusals.

Whoever connects may send a head, with or without a key, and all of it is held until it has ended. Knows no route.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.envelope import answer
from app.api.middleware import request_id
from app.api.response_bodies import head_lines
from app.errors import HeadTooLarge, Malformed

MOST_BYTES = 64 * 1024


class BoundedHeads(HttpToolsProtocol):
    """Uvicorn's protocol for whom heads have an end."""

    _told = 0
    """Bytes of the address and the headers of the request that arrives."""
    _untold = 0
    """Bytes that came since the last head ended and the last piece of a body: the parser may hold them all."""
    _midway = False
    """True while the parser is within a request."""

    def data_received(self, data: bytes) -> None:
        self._untold += len(data)
        super().data_received(data)
        if self._untold > MOST_BYTES and not self.transport.is_closing():
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        large = max(self._told, self._untold) > MOST_BYTES
        refusal = (
            HeadTooLarge(f"address and headers take more than {MOST_BYTES} bytes; send what is large as a body")
            if large
            else Malformed(
                "this cannot be read as HTTP/1.1: its first line, a header or the length of its body is wrong"
            )
        )
        written = answer(refusal, self.url.decode("latin-1") if self._midway else "")
        last = (b"x-request-id", request_id()), (b"connection", b"close")
        lines = head_lines((*self.server_state.default_headers, *written.raw_headers, *last))
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[written.status_code], lines, bytes(written.body)))
        self.transport.close()

    def on_message_begin(self) -> None:
        self._midway, self._told = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._tell(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._tell(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._untold = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._midway, self._untold = False, 0
        super().on_message_complete()

    def _tell(self, piece: bytes) -> None:
        """Raises ValueError, by which the parser ends."""
        self._told += len(piece)
        if self._told > MOST_BYTES:
            raise ValueError("a head without end")
