"""Keeps bytes by key, in a folder or a bucket, behind one small interface. Knows no row and no meaning of a key.

A write is atomic: a folder takes a temporary name and renames it, a bucket shows an object only when its upload is
complete. Everything is hashed while it streams; what is handed out again is compared with that hash. A folder whose
disk is full raises InsufficientStorage.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.disk import INCOMING, placing, writing
from app.errors import ArtifactDamaged, NotReady, TooLarge
from app.object_cache import ObjectCache, Verifier
from app.settings import MIB, Settings, SettingsError

log = logging.getLogger(__name__)

CHUNK = MIB
UPLOADS_AT_ONCE = 4


class Bytes(Protocol):
    """What is known of stored bytes."""

    @property
    def key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class Stored:
    """Bytes that were put and are whole."""

    key: str
    size_bytes: int
    sha256: str


class Storage:
    """A folder (`file:///…`) or a bucket (`s3://bucket/prefix`, credentials from `AWS_*`). Threads may share it."""

    def __init__(self, url: str, cache: Path, cache_bytes: int) -> None:
        parts = urlsplit(url)
        local = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
        if not local and not (parts.scheme == "s3" and parts.netloc):
            raise SettingsError(f"ROOTSTOCK_STORAGE_URL={url!r}: give file:///folder or s3://bucket/prefix")
        self._cache, self._verifier = ObjectCache(cache, cache_bytes), Verifier()
        self._folder = Path(url2pathname(parts.path)) if local else None
        if self._folder is None:
            self._bucket = S3Store.from_url(url, retry_config=_retries(5, 60))
            plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
            options: Any = {"timeout": "2s", "allow_http": plain}
            self._probe = S3Store.from_url(url, retry_config=_retries(0, 2), client_options=options)
        else:
            try:
                (self._folder / INCOMING).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SettingsError(
                    f"ROOTSTOCK_STORAGE_URL={url!r}: {error.strerror}; name a folder that can be written"
                ) from None

    def put(self, key: str, source: Path | bytes) -> Stored:
        """Stores a file's or a value's bytes, in place of those that `key` had."""
        if isinstance(source, bytes):
            return self.put_stream(key, [source])
        with source.open("rb") as file:
            return self.put_stream(key, _chunks(file))

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """Stores what `chunks` yields; when it raises, nothing is kept."""
        counted = _Counted()
        if self._folder is not None:
            with writing(self._folder, key) as file:
                for chunk in chunks:
                    file.write(counted.add(chunk))
        else:
            with _answering():
                source = (counted.add(chunk) for chunk in chunks if chunk)
                obstore.put(self._bucket, key, source, max_concurrency=UPLOADS_AT_ONCE)
        return counted.stored(key)

    def adopt(self, key: str, file: IO[bytes], sha256: str) -> Stored | None:
        """Gives a file of `open_unnamed`, to which nobody writes any more, an object's name instead of copying it.

        None where that cannot be: for a bucket, for a file on another disk, and where the system knows no such files.
        """
        if self._folder is None:
            return None
        with contextlib.suppress(OSError, NotImplementedError), placing(self._folder, key) as incoming:
            os.fsync(file.fileno())
            source = f"/proc/self/fd/{file.fileno()}"
            os.link(source, incoming, src_dir_fd=file.fileno(), follow_symlinks=True)  # given any, it follows the link
            return Stored(key, os.fstat(file.fileno()).st_size, sha256)
        return None

    async def aput_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        """`put_stream` for an event loop. Raises TooLarge beyond `limit` bytes, and keeps nothing."""
        counted = _Counted(limit)
        if self._folder is not None:
            with writing(self._folder, key) as file:
                async for chunk in chunks:
                    file.write(counted.add(chunk))
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())  # the next one finds nothing left to wait for
        else:
            with _answering():
                source = (counted.add(chunk) async for chunk in chunks if chunk)
                await obstore.put_async(self._bucket, key, source, max_concurrency=UPLOADS_AT_ONCE)
        return counted.stored(key)

    def open(self, objects: Sequence[Bytes]) -> Iterator[bytes]:
        """The bytes of `objects` one after the other, in chunks.

        Raises ArtifactDamaged where an object ends with other bytes than were stored.
        """
        for item in objects:
            counted = _Counted()
            for chunk in self._stream(item.key):
                yield counted.add(chunk)
            if counted.stored(item.key) != Stored(item.key, item.size_bytes, item.sha256):
                raise ArtifactDamaged(f"object {item.key} has other bytes than were stored")

    def has(self, item: Bytes) -> bool:
        """Whether there is an object of this key and size; its bytes are not read."""
        try:
            if self._folder is not None:
                return (self._folder / item.key).stat().st_size == item.size_bytes
            with _answering():
                return int(obstore.head(self._bucket, item.key)["size"]) == item.size_bytes
        except FileNotFoundError:
            return False

    def get(self, key: str) -> bytes:
        return b"".join(self._stream(key))

    def local(self, item: Bytes) -> Path:
        """A path with the object's bytes: its own in a folder, a cached copy of a bucket's. Not to be written to.

        Raises ArtifactDamaged when the bytes are not those that were stored.
        """
        if self._folder is not None:
            path = self._folder / item.key
            if not self._verifier.is_whole(path, item.size_bytes, item.sha256):
                raise ArtifactDamaged(f"object {item.key} is gone or has other bytes than were stored")
            return path
        path = self._cache.path(item.sha256)
        if not self._verifier.is_whole(path, item.size_bytes, item.sha256):
            self._cache.make_room(item.size_bytes)
            with writing(path.parent, path.name) as file:
                file.writelines(self.open([item]))
        self._cache.used(item.sha256)
        return path

    def place(self, item: Bytes) -> Path | None:
        """The object's own path in a folder, its bytes not compared with anything; None for a bucket."""
        return self._folder / item.key if self._folder is not None else None

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; a key that is not there does no harm."""
        doomed = list(keys)
        if self._folder is None:
            if doomed:
                with _answering(), contextlib.suppress(FileNotFoundError):
                    obstore.delete(self._bucket, doomed)
            return
        for key in doomed:
            path = self._folder / key
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # the folder still has other objects
                path.parent.rmdir()

    def listing(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        """Key and age in seconds of every object whose key begins with the folder `prefix`."""
        if self._folder is None:
            with _answering():
                for page in obstore.list(self._bucket, prefix or None):
                    now = datetime.now(UTC)
                    yield from ((meta["path"], (now - meta["last_modified"]).total_seconds()) for meta in page)
            return
        for folder, _, names in os.walk(self._folder / prefix):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    yield path.relative_to(self._folder).as_posix(), time.time() - path.stat().st_mtime

    def check(self) -> None:
        """Raises NotReady when objects cannot be reached now."""
        if self._folder is None:
            with _answering():
                next(iter(obstore.list(self._probe, INCOMING)), None)  # unlike a HEAD, tells a bucket that is not there
        elif not os.access(self._folder / INCOMING, os.W_OK):
            log.error("%s is not there or cannot be written to", self._folder / INCOMING)
            raise NotReady("the store's folder is not there or cannot be written to")

    def _stream(self, key: str) -> Iterator[bytes]:
        try:
            if self._folder is not None:
                with (self._folder / key).open("rb") as file:
                    yield from _chunks(file)
            else:
                with _answering():
                    for chunk in obstore.get(self._bucket, key).stream(min_chunk_size=CHUNK):
                        yield bytes(chunk)
        except FileNotFoundError:
            raise ArtifactDamaged(f"object {key} is gone from storage") from None


def open_storage(settings: Settings) -> Storage:
    return Storage(settings.resolved_storage_url, settings.folder / "cache", settings.cache_bytes)


class _Counted:
    """Hashes and counts what passes through."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit, self._size, self._hash = limit, 0, hashlib.sha256()

    def add(self, chunk: bytes) -> bytes:
        self._size += len(chunk)
        if self._limit is not None and self._size > self._limit:
            raise TooLarge(f"more than the {self._limit} bytes that are allowed")
        self._hash.update(chunk)
        return chunk

    def stored(self, key: str) -> Stored:
        return Stored(key, self._size, self._hash.hexdigest())


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        log.error("the store does not answer: %s", str(error).splitlines()[0])  # with its address, for the operator
        raise NotReady("the store does not answer") from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _retries(count: int, seconds: int) -> Any:
    return {"max_retries": count, "retry_timeout": timedelta(seconds=seconds)}
