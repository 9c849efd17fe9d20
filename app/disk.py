"""Tells a full disk from all else that can go wrong with a write. Knows no storage and no format."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

from app.errors import InsufficientStorage

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The disk, the owner's share of it, or what one file may hold is used up."""


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
