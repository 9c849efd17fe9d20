"""The folder under which one machine keeps everything, held by one server at a time.

The lock is a `flock` that every child inherits: it is free again only when the last process of a server is gone,
however that server ended. Knows no process but the one whose id stands in the file.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from app.settings import SettingsError


def open_home(folder: Path) -> None:
    """Makes the folder, for its owner alone.

    Raises SettingsError when that cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "logs").mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"ROOTSTOCK_HOME={folder}: {error.strerror or error}; name a folder that can be written"
        ) from None


def lock_home(folder: Path, patience: float, say: Callable[[str], None]) -> int:
    """Takes the lock and returns its descriptor, which is to be inherited by every child.

    Waits up to `patience` seconds for what is left of a server that was killed; raises SettingsError while one lives.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline, said = time.monotonic() + patience, False
    while not taken(lock):
        pid = int(os.pread(lock, 32, 0) or b"0")
        if time.monotonic() > deadline or (pid and alive(pid)):
            os.close(lock)
            raise SettingsError(
                f"{folder} is in use by the server with process id {pid}; stop it or name another --home"
            )
        if not said:
            say(f"waiting for the last processes of a server that was killed (process id {pid})")
            said = True
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def alive(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
