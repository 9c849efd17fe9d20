"""Compares uploads with their hashes on another thread, so that nobody waits for it before the first row is read."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from app.registry.tables import StoredObject
from app.storage import Storage


class Verification:
    """Of the objects that were begun; it ends unfinished when `opened` closes."""

    def __init__(self, storage: Storage, opened: ExitStack) -> None:
        self._storage, self._over = storage, Event()
        self._pool = opened.enter_context(ThreadPoolExecutor(1))
        opened.callback(self._over.set)
        self._begun: list[Future[None]] = []

    def begin(self, item: StoredObject) -> Path:
        """A path to read from at once. Raises ArtifactDamaged where nothing is there."""
        path = self._storage.place(item)
        if path is None or not self._storage.has(item):
            return self._storage.local(item)  # compares what it copies from a bucket
        self._begun.append(self._pool.submit(self._read, item))
        return path

    def wait(self, seconds: float | None = None) -> None:
        """Returns when all are whole, or after so many seconds. Raises ArtifactDamaged."""
        for future in wait(self._begun, seconds).done:
            future.result()

    def _read(self, item: StoredObject) -> None:
        for _ in self._storage.open([item]):
            if self._over.is_set():
                return
