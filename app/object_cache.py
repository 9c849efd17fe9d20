"""Local bytes that can be trusted: compares a path with its hash, and keeps a folder of copies within a bound.

Knows no store and no key; a copy is named by its sha256.
"""

import contextlib
import hashlib
import os
import time
from pathlib import Path

GRACE_SECONDS = 300.0
"""A copy handed out so recently is kept even when the cache is full: its reader may not have opened it yet."""


class Verifier:
    """Remembers which paths had the right bytes, so that a process hashes each of them once."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[str, int, int]] = {}

    def is_whole(self, path: Path, size_bytes: int, sha256: str) -> bool:
        """Whether `path` has exactly these bytes; False when there is no such file."""
        try:
            status = path.stat()
            state = (sha256, status.st_ino, status.st_mtime_ns)
            if status.st_size != size_bytes:
                return False
            if self._seen.get(path) != state:
                with path.open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        return False
                self._seen[path] = state
        except FileNotFoundError:
            return False
        return True


class ObjectCache:
    """A bounded folder of copies that several processes share; the least recently used goes first.

    It outgrows `limit` only by copies that were used within the last minutes.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def used(self, sha256: str) -> None:
        """Notes the use in the access time; the time of writing stays, by which a change would be seen."""
        path = self.path(sha256)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def make_room(self, size: int) -> None:
        """Removes copies until `size` more bytes fit."""
        self._folder.mkdir(parents=True, exist_ok=True)
        copies = []
        for path in self._folder.rglob("*"):  # what a killed process left unfinished counts, and goes, like a copy
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    status = path.stat()
                    used_at = max(status.st_atime, status.st_mtime)  # of one that is still being written the latter
                    copies.append((used_at, status.st_size, path))
        total = size + sum(copy[1] for copy in copies)
        for used_at, freed, path in sorted(copies):
            if total <= self._limit or time.time() - used_at < GRACE_SECONDS:
                return
            path.unlink(missing_ok=True)
            total -= freed
