"""A disk on which little fits: the kernel's limit to the size of a process's files (RLIMIT_FSIZE, refused with EFBIG).

It needs no mount and no rights, and holds for all threads of this process.
"""

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def little_room(most: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
