"""With a command that, like a job's process, lives as long as its standard input is open."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from worker.processes.launcher import Launcher, kill
from worker.processes.process import Order

ORDER = Order("job-1", 1, "pretrain")
COMMAND = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    launcher = Launcher(COMMAND)
    yield launcher
    launcher.close()


def test_without_a_spare_each_launch_starts_a_process(launcher: Launcher) -> None:
    first, second = launcher.launch(ORDER), launcher.launch(ORDER)
    assert first.pid != second.pid
    for process in (first, second):
        assert process.poll() is None
        kill(process)
        assert process.returncode == -9


def test_a_spare_takes_the_order_and_another_takes_its_place_when_it_has_ended(launcher: Launcher) -> None:
    launcher.keep_spare()
    spare = launcher._spare
    assert spare is not None
    process = launcher.launch(ORDER)
    assert process is spare
    assert launcher._spare is None
    kill(process)
    assert refilled(launcher).pid != process.pid


def test_a_long_job_does_not_keep_the_next_from_a_spare(launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.processes.launcher.UNDER_WAY_SECONDS", 0.1)
    launcher.keep_spare()
    process = launcher.launch(ORDER)
    assert refilled(launcher).pid != process.pid
    assert process.poll() is None
    kill(process)


def test_a_job_that_follows_at_once_is_not_disturbed_by_a_spare_either(launcher: Launcher) -> None:
    launcher.keep_spare()
    first = launcher.launch(ORDER)
    second = launcher.launch(ORDER)
    kill(first)
    launcher._refill(first)
    assert launcher._spare is None
    kill(second)
    assert refilled(launcher).pid not in (first.pid, second.pid)


def refilled(launcher: Launcher) -> "subprocess.Popen[bytes]":
    until = time.monotonic() + 30
    while launcher._spare is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return launcher._spare


def test_a_spare_that_died_is_replaced(launcher: Launcher) -> None:
    launcher.keep_spare()
    spare = launcher._spare
    assert spare is not None
    spare.kill()
    spare.wait()
    process = launcher.launch(ORDER)
    assert process.pid != spare.pid
    assert process.poll() is None
    kill(process)


def test_a_closed_launcher_leaves_no_spare(launcher: Launcher) -> None:
    launcher.keep_spare()
    spare = launcher._spare
    assert spare is not None
    launcher.close()
    assert spare.returncode == -9


def test_the_first_spare_may_come_later(launcher: Launcher) -> None:
    launcher.keep_spare(after=0.05)
    assert refilled(launcher).poll() is None


def test_a_job_that_needs_nothing_of_the_spare_leaves_it_to_the_next(launcher: Launcher) -> None:
    launcher.keep_spare()
    spare = launcher._spare
    light = launcher.launch(Order("job-2", 1, "ingest"))
    assert light is not spare
    heavy = launcher.launch(Order("job-3", 1, "embed"))
    assert heavy is spare
    kill(light)
    kill(heavy)
