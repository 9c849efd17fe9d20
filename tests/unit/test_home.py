import subprocess
import sys
from pathlib import Path

import pytest

from app.home import lock_home, open_home, write_secret
from app.settings import SettingsError

HOLDER = """
import os, subprocess, sys
from pathlib import Path
from app.home import lock_home
lock = lock_home(Path(sys.argv[1]), 0, print)
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], pass_fds=[lock])
print(os.getpid(), flush=True)
sys.stdin.read() if sys.argv[2] == "stay" else os._exit(0)
"""


def holder(folder: Path, stay: str) -> "subprocess.Popen[str]":
    """A process that holds the folder, and whose child does so even when it leaves; both end with their input."""
    command = [sys.executable, "-c", HOLDER, str(folder), stay]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(process.pid)
    return process


def test_a_home_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    open_home(tmp_path / "a" / "home")
    assert (tmp_path / "a" / "home").stat().st_mode & 0o777 == 0o700
    open_home(tmp_path / "a" / "home")


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"ROOTSTOCK_HOME=.*file/home.*Not a directory"):
        open_home(tmp_path / "file" / "home")


def test_a_second_server_on_a_home_is_refused_and_told_whose_it_is(tmp_path: Path) -> None:
    with holder(tmp_path, "stay") as first:
        with pytest.raises(SettingsError, match=rf"in use by the server with process id {first.pid}\b"):
            lock_home(tmp_path, 60, print)
        first.communicate("")


def test_what_is_left_of_a_killed_server_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    with holder(tmp_path, "leave") as dead:
        dead.wait()

        def let_go(line: str) -> None:
            said.append(line)
            assert dead.stdin is not None
            dead.stdin.close()  # its child reads the same pipe and ends

        lock_home(tmp_path, 60, let_go)
    assert len(said) == 1
    assert str(dead.pid) in said[0]


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_secret(tmp_path / "key", text)
        assert (tmp_path / "key").read_text() == text
        assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
