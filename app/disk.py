"""Writes that appear whole or not at all, and a full disk told from all else that can go wrong with one.

Knows no storage and no format.
"""

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from app.errors import InsufficientStorage

INCOMING = ".incoming"
"""Folder of unfinished writes; listed like objects, so that the sweep removes what a killed process left."""
RENAMES = 10
"""A rename is tried so often: the removal of another object may take the folder away while it is empty."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, the owner's share of it, or what one file may hold is used up."""

TRIED = 1 << 20
"""Bytes that are written to see whether a disk has room."""


def open_unnamed(folder: Path) -> int:
    """A descriptor of an empty file on the disk of `folder`, which is gone when its last one is closed; where the
    system knows files without a name (Linux) it may be given one until then."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # a file system that has none of them
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as unnamed:
        return os.dup(unnamed.fileno())


def has_room(folder: Path) -> bool:
    """False when the disk of `folder` does not take so much as a mebibyte.

    That is tried, since what is free may not be there for everybody; nothing of it stays.
    """
    try:
        with os.fdopen(open_unnamed(folder), "wb", buffering=0) as file:
            return file.write(bytes(TRIED)) == TRIED
    except OSError as error:
        return error.errno not in FULL  # a folder that is not ours to write to is no full disk


@contextlib.contextmanager
def needing_room(folder: Path) -> Iterator[None]:
    """For what writes to the disk of `folder`. Raises InsufficientStorage where that is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        raise InsufficientStorage(
            f"there is no room left to write to {folder} ({error.strerror}; {free:,} bytes are free): remove what is "
            "not needed or give it a larger disk, then try again"
        ) from error


@contextlib.contextmanager
def writing(folder: Path, key: str) -> Iterator[IO[bytes]]:
    """A file that appears under `folder / key` when the block ends well, and not at all otherwise."""
    with placing(folder, key) as incoming, incoming.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def placing(folder: Path, key: str) -> Iterator[Path]:
    """A path; what is put there appears under `folder / key` when the block ends well, and not at all otherwise."""
    incoming, path = folder / INCOMING / uuid.uuid4().hex, folder / key
    incoming.parent.mkdir(parents=True, exist_ok=True)
    try:
        with needing_room(folder):
            yield incoming
            for attempt in range(RENAMES):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    incoming.replace(path)
                    break
                except FileNotFoundError:
                    if attempt == RENAMES - 1:
                        raise
    finally:
        incoming.unlink(missing_ok=True)
