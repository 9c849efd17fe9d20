"""Reads a multipart body part by part while it arrives; holds one network chunk at a time. Knows no storage."""

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.errors import Malformed, TooLarge

MAX_HEADER_BYTES = 16 * 1024
MAX_FIELD_BYTES = 1024 * 1024
MAX_PARTS = 128
EXTENDED = re.compile(rb";\s*filename\*=\s*(?P<charset>[\w-]*)'[\w-]*'(?P<name>[^;\s]*)", re.IGNORECASE)


@dataclass
class Part:
    """One part; a file when it has a filename. Its bytes must be read before the next part is asked for."""

    name: str
    filename: str | None
    body: AsyncIterator[bytes]

    async def text(self) -> str:
        """The whole part as text. Raises TooLarge, Malformed."""
        held = bytearray()
        async for chunk in self.body:
            held += chunk
            if len(held) > MAX_FIELD_BYTES:
                raise TooLarge(f"form field {self.name!r} has more than {MAX_FIELD_BYTES} bytes", param=self.name)
        return _decode(bytes(held), f"form field {self.name!r}")


@dataclass
class _Events:
    """What the parser's callbacks have told and nobody has taken yet. A part is its headers; None ends it."""

    queue: deque[dict[bytes, bytes] | bytes | None] = field(default_factory=deque)
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    parts: int = 0
    complete: bool = False

    def on_part_begin(self) -> None:
        self.headers = {}
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise Malformed(f"the form has more than {MAX_PARTS} parts")

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]
        self._bounded()

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._bounded()

    def on_header_end(self) -> None:
        self.headers[self.name.lower()] = self.value
        self.name = self.value = b""

    def on_headers_finished(self) -> None:
        self.queue.append(self.headers)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.queue.append(data[start:end])

    def on_part_end(self) -> None:
        self.queue.append(None)

    def on_end(self) -> None:
        self.complete = True

    def _bounded(self) -> None:
        if len(self.name) + len(self.value) > MAX_HEADER_BYTES or len(self.headers) > 32:
            raise Malformed(f"a part of the form has headers of more than {MAX_HEADER_BYTES} bytes or 32 lines")


async def parts(request: Request) -> AsyncIterator[Part]:
    """The parts of the form in the order in which they arrive.

    Raises Malformed for a body that is no form or ends before its closing boundary.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        given = request.headers.get("content-type", "")
        raise Malformed(f"the content type is {given!r}; send multipart/form-data with a boundary")
    events = _Events()
    names = [name for name in vars(_Events) if name.startswith("on_")]
    try:
        parser = MultipartParser(options[b"boundary"], {name: getattr(events, name) for name in names})  # type: ignore[arg-type]
    except FormParserError as error:  # of a boundary that is too long
        raise Malformed(f"the form cannot be read: {error}") from None
    arriving = request.stream()

    async def told() -> AsyncIterator[dict[bytes, bytes] | bytes | None]:
        async for chunk in arriving:
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise Malformed(f"the form cannot be read: {error}") from None
            while events.queue:
                yield events.queue.popleft()
        if not events.complete:
            raise Malformed("the form ends before its closing boundary")

    stream = told()

    async def body() -> AsyncIterator[bytes]:
        async for item in stream:
            if not isinstance(item, bytes):
                return
            yield item

    async for item in stream:
        assert isinstance(item, dict), "this is a bug: a part was not read to its end before the next was asked for"
        yield _part(item, body())


def _part(headers: dict[bytes, bytes], body: AsyncIterator[bytes]) -> Part:
    _, options = parse_options_header(headers.get(b"content-disposition"))
    if b"name" not in options:
        raise Malformed("a part of the form has no name in its Content-Disposition header")
    name = _decode(options[b"name"], "the name of a form field")
    return Part(name, _filename(headers[b"content-disposition"], options.get(b"filename")), body)


def _filename(disposition: bytes, plain: bytes | None) -> str | None:
    """As RFC 7578 has it, in plain UTF-8. Some clients write it in the manner of RFC 5987 instead, or beside one in the
    manner of mail."""
    extended = EXTENDED.search(disposition)
    if extended is None or not (plain is None or plain.startswith(b"=?")):
        return None if plain is None else _decode(plain, "the filename")
    try:
        plain = unquote_to_bytes(extended["name"]).decode(extended["charset"].decode()).encode()
    except (LookupError, UnicodeError):
        raise Malformed(f"the filename is {_shown(extended[0])}, which is no text") from None
    return _decode(plain, "the filename")


def _shown(raw: bytes) -> str:
    return repr(raw.decode("latin-1").lstrip("; "))


def _decode(raw: bytes, what: str) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8: byte {raw[error.start]:#04x} at {error.start}") from None
    if "\x00" in text:
        raise Malformed(f"{what} holds the character U+0000, which no text here may contain")
    return text
