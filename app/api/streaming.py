"""Answers of any size from storage, whole or in part, in constant memory. Knows no row."""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import StreamingResponse

from app.api.conditional import CONDITIONS, Wanted, validators
from app.api.envelope import answer
from app.api.schemas import ErrorEnvelope
from app.errors import RangeNotSatisfiable
from app.storage import Storage
from app.stored_bytes import Bytes

BLOCK = tarfile.BLOCKSIZE


def described(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that gives a download, for the OpenAPI document."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in media_types}
    return {
        200: {"content": content},
        206: {"content": content, "description": "The part that `Range` asks for; `Content-Range` says which it is."},
        **CONDITIONS,
        416: {"model": ErrorEnvelope, "description": "`Range` begins behind the end; `Content-Range` has the size."},
    }


@dataclass(frozen=True)
class Content:
    """Bytes of a known length: objects of storage, and what stands between them."""

    pieces: Sequence[bytes | Bytes]

    @cached_property
    def size_bytes(self) -> int:
        return sum(map(_size, self.pieces))

    @cached_property
    def etag(self) -> str:
        """The same for the same bytes, whoever computes it."""
        hashes = [hashlib.sha256(each).hexdigest() if isinstance(each, bytes) else each.sha256 for each in self.pieces]
        return f'"{hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]}"'

    def read(self, storage: Storage, begin: int, end: int) -> Iterator[bytes]:
        """The bytes from `begin` to before `end`; nothing else is read."""
        for piece in self.pieces:
            size = _size(piece)
            first, last = max(begin, 0), min(end, size)
            if first < last:
                yield from [piece[first:last]] if isinstance(piece, bytes) else storage.part(piece, first, last)
            begin, end = begin - size, end - size


def _size(piece: bytes | Bytes) -> int:
    return len(piece) if isinstance(piece, bytes) else piece.size_bytes


def download(storage: Storage, content: Content, wanted: Wanted, *, filename: str, media_type: str) -> Response:
    """An attachment, or the part of it that is wanted.

    Its first chunk is read at once, so that bytes that are gone are an error and no broken answer.
    """
    size = content.size_bytes
    headers = {"accept-ranges": "bytes", **validators(content.etag)}
    if wanted.conditions.known(content.etag):
        return Response(status_code=304, headers=headers)
    try:
        part = wanted.part(content.etag, size)
    except RangeNotSatisfiable as error:
        return answer(error, headers=headers | {"content-range": f"bytes */{size}"})
    begin, end = part or (0, size)
    if part is not None:
        headers["content-range"] = f"bytes {begin}-{end - 1}/{size}"
    headers |= {
        "content-length": str(end - begin),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    chunks = content.read(storage, begin, end)
    first = next(chunks, b"")
    return StreamingResponse(chain([first], chunks), 200 if part is None else 206, headers, media_type)


def tar(files: Mapping[str, Sequence[Bytes]], folder: str, time: int) -> Content:
    """A tar archive of `files` under `folder`; the same files give the same bytes."""
    pieces: list[bytes | Bytes] = []
    for name, parts in files.items():
        header = tarfile.TarInfo(f"{folder}/{name}")
        header.size = sum(part.size_bytes for part in parts)
        header.mtime = time
        header.mode = 0o644
        pieces += [header.tobuf(tarfile.USTAR_FORMAT), *parts, b"\0" * (-header.size % BLOCK)]
    return Content([*pieces, b"\0" * (2 * BLOCK)])
