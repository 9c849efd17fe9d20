"""Threads that do shares of one thing at the same time. Knows no network."""

import contextlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

import torch

T = TypeVar("T")
Order = Callable[[], None]


class Team:
    """So many threads, the caller's among them: each computes with one of torch's, and so must the caller."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._orders = [SimpleQueue[Order | None]() for _ in range(size - 1)]
        self._behind: Order | None = None
        self._allowed = allowed = _allowed()
        self._cores = [allowed[len(allowed) * n // size : len(allowed) * (n + 1) // size] for n in range(size)]
        for orders, cores in zip(self._orders, self._cores[1:], strict=True):
            thread = threading.Thread(target=_serve, args=(orders, cores), name="team", daemon=True)
            thread.start()
            weakref.finalize(self, _dismiss, orders, thread)

    def leading(self) -> AbstractContextManager[None]:
        """The caller computes with one thread, on cores of its own.

        A kernel that finds all cores in use wakes a thread on that of whoever woke it, where the two take turns.
        """
        return _computing(1, self._cores[0])

    def resting(self) -> AbstractContextManager[None]:
        """Within `leading`, for what the team does not divide: the caller computes with as many threads, anywhere."""
        return _computing(self.size, self._allowed)

    def together(self, work: Callable[[int], T], count: int) -> list[T]:
        """What `work` gives for 0 to `count` - 1, of which there are at most `size`; the caller does the first."""
        results: dict[int, T] = {}
        ends = SimpleQueue[Exception | None]()

        def share(number: int) -> None:
            try:
                results[number] = work(number)
            except Exception as error:
                ends.put(error)
            else:
                ends.put(None)

        for number in range(1, count):
            self._orders[number - 1].put(partial(share, number))
        self._go_on()
        share(0)
        for error in [ends.get() for _ in range(count)]:
            if error is not None:
                raise error
        return [results[number] for number in range(count)]

    def ahead(self, items: Iterator[T]) -> Iterator[T]:
        """The items: another thread fetches each behind its share of what is done with the one before."""
        if self.size == 1:
            yield from items
            return
        fetched = SimpleQueue[list[T] | Exception]()

        def fetch() -> None:
            try:
                fetched.put(list(itertools.islice(items, 1)))
            except Exception as error:
                fetched.put(error)

        fetch()
        while item := fetched.get():
            if isinstance(item, Exception):
                raise item
            self._behind = fetch
            try:
                yield item[0]
            except GeneratorExit:
                if not self._waits():
                    fetched.get()  # until then the items are in use
                self._behind = None
                raise
            self._go_on()  # where nothing was done together

    def _waits(self) -> bool:
        return self._behind is not None

    def _go_on(self) -> None:
        if self._behind is not None:
            self._orders[0].put(self._behind)
            self._behind = None


@contextlib.contextmanager
def _computing(threads: int, cores: list[int]) -> Iterator[None]:
    threads_before, cores_before = torch.get_num_threads(), _allowed()
    torch.set_num_threads(threads)
    _keep_to(cores)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        _keep_to(cores_before)


def _serve(orders: SimpleQueue[Order | None], cores: list[int]) -> None:
    torch.get_num_threads()  # without this, torch's first use in a thread overwrites what was set before it
    torch.set_num_threads(1)
    _keep_to(cores)
    while order := orders.get():
        order()


def _dismiss(orders: SimpleQueue[Order | None], thread: threading.Thread) -> None:
    """Also before the interpreter ends, which would abort a thread in the midst of torch."""
    orders.put(None)
    thread.join()


def _allowed() -> list[int]:
    """Cores that the calling thread may use; none where the system does not tell, as macOS."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _keep_to(cores: list[int]) -> None:
    if cores:  # else there are fewer of them than threads
        os.sched_setaffinity(0, cores)
