"""Objects as files of a folder: written under another name, then renamed. A full disk raises InsufficientStorage."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import IO

from app.disk import INCOMING, placing, writing
from app.errors import ArtifactDamaged, NotReady
from app.object_cache import Verifier
from app.storage.base import Counted, Storage, Stored, chunks, gone
from app.stored_bytes import Bytes

log = logging.getLogger(__name__)


class FolderStorage(Storage):
    """A folder, made where there is none. Raises OSError where it cannot be written."""

    folder: Path

    def __init__(self, folder: Path) -> None:
        self.folder, self._verifier = folder, Verifier()
        (folder / INCOMING).mkdir(parents=True, exist_ok=True)

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> Stored:
        counted = Counted()
        with writing(self.folder, key) as file:
            for chunk in chunks:
                file.write(counted.add(chunk))
        return counted.stored(key)

    async def aput_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        counted = Counted(limit)
        with writing(self.folder, key) as file:
            async for chunk in chunks:
                file.write(counted.add(chunk))
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())  # the next one finds nothing left to wait for
        return counted.stored(key)

    def adopt(self, key: str, file: IO[bytes], sha256: str) -> Stored | None:
        with contextlib.suppress(OSError, NotImplementedError), placing(self.folder, key) as incoming:
            os.fsync(file.fileno())
            source = f"/proc/self/fd/{file.fileno()}"
            os.link(source, incoming, src_dir_fd=file.fileno(), follow_symlinks=True)  # given any, it follows the link
            return Stored(key, os.fstat(file.fileno()).st_size, sha256)
        return None

    def stream(self, key: str, part: tuple[int, int] | None = None) -> Iterator[bytes]:
        begin, end = part or (0, sys.maxsize)
        try:
            with (self.folder / key).open("rb") as file:
                file.seek(begin)
                yield from chunks(file, end - begin)
        except FileNotFoundError:
            raise gone(key) from None

    def has(self, item: Bytes) -> bool:
        try:
            return (self.folder / item.key).stat().st_size == item.size_bytes
        except FileNotFoundError:
            return False

    def local(self, item: Bytes) -> Path:
        path = self.folder / item.key
        if not self._verifier.is_whole(path, item.size_bytes, item.sha256):
            raise ArtifactDamaged(f"object {item.key} is gone or has other bytes than were stored")
        return path

    def place(self, item: Bytes) -> Path | None:
        return self.folder / item.key

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self.folder / key
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder still has other objects
                path.parent.rmdir()

    def listing(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        for folder, _, names in os.walk(self.folder / prefix):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield path.relative_to(self.folder).as_posix(), path.stat().st_mtime

    def check(self) -> None:
        if not os.access(self.folder / INCOMING, os.W_OK):
            log.error("%s is not there or cannot be written to", self.folder / INCOMING)
            raise NotReady("the store's folder is not there or cannot be written to")
