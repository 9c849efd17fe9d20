"""Work on other threads, in order and never far ahead, for what releases the interpreter's lock. Knows no row."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

THREADS = 2
T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterable[T], work: Callable[[T], R], threads: int = THREADS) -> Iterator[tuple[T, R]]:
    """Every item, in order, with what `work` makes of it while those before are dealt with."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > threads:
                first, made = waiting.popleft()
                yield first, made.result()
        while waiting:
            first, made = waiting.popleft()
            yield first, made.result()


class Aside:
    """A thread that does one thing after the other; whoever asks for more waits while `most` are left to do."""

    def __init__(self, opened: ExitStack, most: int) -> None:
        self._pool = opened.enter_context(ThreadPoolExecutor(1))
        self._left: deque[Future[Any]] = deque()
        self._most = most

    def do(self, work: Callable[[Any], object], what: object) -> None:
        """Raises what an earlier thing raised."""
        self._left.append(self._pool.submit(work, what))
        self.wait(self._most)

    def wait(self, most: int = 0) -> None:
        while len(self._left) > most:
            self._left.popleft().result()
