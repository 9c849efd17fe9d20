"""Tells a full disk from all else that can go wrong with a write. Knows no storage and no format."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from app.errors import InsufficientStorage

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, the owner's share of it, or what one file may hold is used up."""


def open_unnamed(folder: Path) -> int:
    """A descriptor of an empty file on the disk of `folder`, which is gone when its last one is closed; where the
    system knows files without a name (Linux) it may be given one until then."""
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # a file system that has none of them
            return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    with tempfile.TemporaryFile(dir=folder, buffering=0) as unnamed:
        return os.dup(unnamed.fileno())


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
