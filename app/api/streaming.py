"""Answers of any size from storage, in constant memory. Knows no row."""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from app.registry.tables import StoredObject
from app.storage import Storage

BLOCK = tarfile.BLOCKSIZE


def download(chunks: Iterator[bytes], *, filename: str, media_type: str, size_bytes: int) -> StreamingResponse:
    """An attachment. Its first chunk is read at once, so that bytes that are gone are an error and no broken answer."""
    first = next(chunks, b"")
    headers = {
        "content-length": str(size_bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(chain([first], chunks), media_type=media_type, headers=headers)


def tar_size(files: Mapping[str, Sequence[StoredObject]]) -> int:
    """Bytes of the archive that `tar` will yield."""
    sizes = [sum(part.size_bytes for part in parts) for parts in files.values()]
    return sum(BLOCK + size + -size % BLOCK for size in sizes) + 2 * BLOCK


def tar(storage: Storage, files: Mapping[str, Sequence[StoredObject]], folder: str, time: int) -> Iterator[bytes]:
    """A tar archive of `files` under `folder`; the same files give the same bytes."""
    for name, parts in files.items():
        header = tarfile.TarInfo(f"{folder}/{name}")
        header.size = sum(part.size_bytes for part in parts)
        header.mtime = time
        header.mode = 0o644
        yield header.tobuf(tarfile.USTAR_FORMAT)
        yield from storage.open(parts)
        yield b"\0" * (-header.size % BLOCK)
    yield b"\0" * (2 * BLOCK)
