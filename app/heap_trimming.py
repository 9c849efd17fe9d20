"""Keeps freed memory while a process is busy, and gives it back to the system in a pause. Knows no request.

What a crowd of large requests needs at once lies scattered in the allocator's heap when they have been answered, and
glibc keeps all below the last piece that is in use, for good, unless it is asked to look; yet what lies above it, it
returns at once, and fresh pages cost the next request more than its numbers.
"""

import ctypes
import os
import time
from pathlib import Path

WORTH_BYTES = 16 * 1024 * 1024
"""A process that grew by less is left alone."""
PAUSE = 0.1
"""Of a processor: a process that uses less has a moment for this."""
KEPT_BYTES = 256 * 1024 * 1024
"""What is free at the heap's end and kept nevertheless, while the process is busy."""
MAPPED_BYTES = 32 * 1024 * 1024
"""Blocks from this size on, the largest that every glibc allows, are no part of the heap."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""As <malloc.h> has them."""


class Trimmer:
    """The heap of this process, looked at from time to time by one thread."""

    def __init__(self) -> None:
        self._allocator = glibc()
        keep_freed(MAPPED_BYTES, KEPT_BYTES)
        self._looked_at = self._worked = 0.0
        self._left = 0

    def look(self) -> None:
        """Trims where the process grew, and hardly used the processor since the last look."""
        now, worked = time.monotonic(), time.process_time()
        paused = worked - self._worked < PAUSE * (now - self._looked_at)
        self._looked_at, self._worked = now, worked
        if self._allocator is None or not paused or resident_bytes() < self._left + WORTH_BYTES:
            return
        self._allocator.malloc_trim(0)  # other threads run meanwhile
        self._left = resident_bytes()


def keep_freed(mapped: int, kept: int) -> None:
    """Keeps freed blocks of up to `mapped` bytes in the heap, and up to `kept` bytes free at its end, for this process.

    Both less than 2 GiB. Where glibc allows no such blocks, all is as it was.
    """
    allocator = glibc()
    if allocator is not None and allocator.mallopt(M_MMAP_THRESHOLD, mapped):
        allocator.mallopt(M_TRIM_THRESHOLD, kept)


def glibc() -> ctypes.CDLL | None:
    """The C library, where its allocator is glibc's."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def resident_bytes() -> int:
    """Memory that this process occupies. For Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
