"""What every store does: bytes by key, hashed on their way in and compared on their way out. Knows no row."""

import hashlib
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.errors import ArtifactDamaged, TooLarge
from app.settings import MIB
from app.stored_bytes import Bytes

CHUNK = MIB


@dataclass(frozen=True)
class Stored:
    """Bytes that were put and are whole."""

    key: str
    size_bytes: int
    sha256: str


class Storage(ABC):
    """Where objects are kept. A write is atomic: nobody sees a part of it. Threads may share a storage."""

    folder: Path | None = None
    """Where they lie on a disk of this machine; None for a bucket."""

    def put(self, key: str, source: Path | bytes) -> Stored:
        """Stores a file's or a value's bytes, in place of those that `key` had."""
        if isinstance(source, bytes):
            return self.put_stream(key, [source])
        with source.open("rb") as file:
            return self.put_stream(key, chunks(file))

    @abstractmethod
    def put_stream(self, key: str, chunks: Iterable[bytes]) -> Stored:
        """Stores what `chunks` yields; when it raises, nothing is kept."""

    @abstractmethod
    async def aput_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        """`put_stream` for an event loop. Raises TooLarge beyond `limit` bytes, and keeps nothing."""

    def adopt(self, key: str, file: IO[bytes], sha256: str) -> Stored | None:
        """Gives a file of `open_unnamed`, to which nobody writes any more, an object's name instead of copying it.

        None where that cannot be: for a bucket, for a file on another disk, and where the system knows no such files.
        """
        return None

    def open(self, objects: Sequence[Bytes]) -> Iterator[bytes]:
        """The bytes of `objects` one after the other, in chunks.

        Raises ArtifactDamaged where an object ends with other bytes than were stored.
        """
        for item in objects:
            counted = Counted()
            for chunk in self.stream(item.key):
                yield counted.add(chunk)
            if counted.stored(item.key) != Stored(item.key, item.size_bytes, item.sha256):
                raise ArtifactDamaged(f"object {item.key} has other bytes than were stored")

    def part(self, item: Bytes, begin: int, end: int) -> Iterator[bytes]:
        """The bytes of an object from `begin` to before `end`, in chunks; no others are read.

        Raises ArtifactDamaged where the object has another size, since a part has no hash to be compared with; where
        all is read, as `open` does.
        """
        if (begin, end) == (0, item.size_bytes):
            yield from self.open([item])
            return
        if not self.has(item):
            raise ArtifactDamaged(f"object {item.key} is gone or has other bytes than were stored")
        yield from self.stream(item.key, (begin, end))

    def get(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    @abstractmethod
    def stream(self, key: str, part: tuple[int, int] | None = None) -> Iterator[bytes]:
        """The bytes of an object, or of the `part` with this begin and end, in chunks, compared with nothing.

        Raises ArtifactDamaged where there is no such object.
        """

    @abstractmethod
    def has(self, item: Bytes) -> bool:
        """Whether there is an object of this key and size; its bytes are not read."""

    @abstractmethod
    def local(self, item: Bytes) -> Path:
        """A path with the object's bytes: its own in a folder, a cached copy of a bucket's. Not to be written to.

        Raises ArtifactDamaged when the bytes are not those that were stored.
        """

    def place(self, item: Bytes) -> Path | None:
        """The object's own path in a folder, its bytes not compared with anything; None for a bucket."""
        return None

    @abstractmethod
    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; a key that is not there does no harm."""

    @abstractmethod
    def listing(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        """Key of every object below the folder `prefix`, and when it was written, in unix seconds by its clock."""

    @abstractmethod
    def check(self) -> None:
        """Raises NotReady when objects cannot be reached now."""


class Counted:
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


def chunks(file: IO[bytes], most: int = sys.maxsize) -> Iterator[bytes]:
    """What is left of a file, at `most` so many bytes."""
    while chunk := file.read(min(CHUNK, most)):
        most -= len(chunk)
        yield chunk


def gone(key: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"object {key} is gone from storage")
