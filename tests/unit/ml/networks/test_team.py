"""Threads that do shares of one thing at the same time, and fetch ahead what is next."""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from app.ml.networks.team import Team


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_share_is_done_once_by_a_thread_of_its_own(size: int) -> None:
    meet = threading.Barrier(size, timeout=60)

    def work(number: int) -> tuple[int, int, int]:
        meet.wait()  # all of them at once
        return number, threading.get_ident(), torch.get_num_threads()

    team = Team(size)
    for _ in range(3):
        with team.leading():
            done = team.together(work, size)
        assert [number for number, _, _ in done] == list(range(size))
        assert done[0][1] == threading.get_ident()
        assert len({thread for _, thread, _ in done}) == size
        assert {threads for _, _, threads in done} == {1}


def test_who_leads_gets_threads_and_cores_back() -> None:
    threads, cores = torch.get_num_threads(), os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), Team(2).leading():
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == threads
    assert os.sched_getaffinity(0) == cores


def test_who_rests_computes_as_before_and_leads_on() -> None:
    cores = os.sched_getaffinity(0)
    team = Team(2)
    with team.leading():
        led = torch.get_num_threads(), os.sched_getaffinity(0)
        with team.resting():
            assert (torch.get_num_threads(), os.sched_getaffinity(0)) == (2, cores)
        assert (torch.get_num_threads(), os.sched_getaffinity(0)) == led
    assert led[0] == 1


@pytest.mark.parametrize("fails", [0, 1])
def test_an_error_is_raised_once_all_have_ended(fails: int) -> None:
    ended = []

    def work(number: int) -> None:
        if number == fails:
            raise MemoryError("too much")
        ended.append(number)

    team = Team(2)
    with pytest.raises(MemoryError, match="too much"):
        team.together(work, 2)
    assert ended == [1 - fails]
    assert team.together(abs, 2) == [0, 1]


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("together", [False, True])
def test_items_are_fetched_ahead_in_their_order(size: int, together: bool) -> None:
    team = Team(size)
    taken = []
    for item in team.ahead(iter(range(5))):
        if together:
            team.together(abs, size)
        taken.append(item)
    assert taken == list(range(5))


def test_another_thread_fetches_while_the_caller_works() -> None:
    fetched = threading.Event()

    def items() -> Iterator[int]:
        yield threading.get_ident()
        fetched.set()
        yield threading.get_ident()

    team = Team(2)
    ahead = team.ahead(items())
    assert next(ahead) == threading.get_ident()
    team.together(abs, 2)
    assert fetched.wait(60)
    assert next(ahead) != threading.get_ident()


def test_nothing_is_fetched_once_nobody_asks() -> None:
    source = itertools.count()
    team = Team(2)
    for item in team.ahead(source):
        team.together(abs, 2)
        if item == 2:
            break
    assert next(source) == 4
    for _ in team.ahead(source):
        break
    assert next(source) == 6


def test_an_error_while_fetching_is_the_callers() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        list(Team(2).ahead(items()))


def test_its_threads_leave_with_it() -> None:
    before = set(threading.enumerate())
    team = Team(3)
    team.together(abs, 3)
    others = set(threading.enumerate()) - before
    assert len(others) == 2
    del team
    assert not any(thread.is_alive() for thread in others)


def test_a_program_may_end_while_a_thread_computes() -> None:
    """A thread that the interpreter finds in the midst of torch would abort it."""
    program = (
        "import torch; from app.ml.networks.team import Team; team = Team(2); "
        "ahead = team.ahead(torch.rand(1500, 1500) @ torch.rand(1500, 1500) for _ in range(9)); "
        "next(ahead); team.together(abs, 2)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
