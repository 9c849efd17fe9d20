"""A disk of a few MB for a server's home, which can be filled to its last byte. Needs the right to mount one."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

FILLER, MIB = "filler", 1 << 20


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """`folder`, made and on a disk of its own; skips the test where nobody may mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no command `mount`")
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Takes what is left of it, down to the last bytes."""
    left = os.open(disk / FILLER, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for _ in range((shutil.disk_usage(disk).free - leave) // MIB):
        os.write(left, bytes(MIB))
    size = 0 if leave else MIB
    while size:
        try:
            os.write(left, bytes(size))
        except OSError:
            size //= 2
    os.close(left)


def make_room(disk: Path) -> None:
    (disk / FILLER).unlink()
